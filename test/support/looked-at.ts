import type { PeerId } from '../../core/ids.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'

/**
 * The same transport, with each of its requests looked at before it leaves.
 *
 * @param look  fails a request by throwing
 */
export function lookedAt(inner: PeerTransport, look: (type: string, peer: PeerId) => void): PeerTransport {
  return {
    self: inner.self,
    request: async (peer, type, body, options) => {
      look(type, peer)
      return inner.request(peer, type, body, options)
    },
    openStream: (peer, type, body, options) => inner.openStream(peer, type, body, options),
    onMessage: (type, handler) => inner.onMessage(type, handler),
    onStream: (type, handler) => inner.onStream(type, handler),
    close: () => inner.close(),
  }
}
