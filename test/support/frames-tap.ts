/** Keeps every byte string that goes over a transport: what a log of frames, or a proxy that ends its TLS, would see. */
import type { PeerId } from '../../core/ids.ts'
import type { CallOptions, PeerStream, PeerTransport } from '../../node/runtime/ports.ts'

export type Frame = { readonly type: string; readonly from: PeerId; readonly to: PeerId; readonly bytes: Uint8Array }

/** @param onFrame  hears of bodies and answers of requests, and of bodies and frames of streams, each once, at the caller */
export function tapped(transport: PeerTransport, onFrame: (frame: Frame) => void): PeerTransport {
  const { self } = transport
  const seen = (type: string, from: PeerId, to: PeerId, bytes: Uint8Array): Uint8Array => {
    onFrame({ type, from, to, bytes: bytes.slice() })
    return bytes
  }
  return {
    self,
    async request(peer: PeerId, type: string, body: Uint8Array, options: CallOptions) {
      return seen(type, peer, self, await transport.request(peer, type, seen(type, self, peer, body), options))
    },
    async openStream(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<PeerStream> {
      const stream = await transport.openStream(peer, type, seen(type, self, peer, body), options)
      return {
        send: (frame) => stream.send(seen(type, self, peer, frame)),
        end: () => stream.end(),
        destroy: () => stream.destroy(),
        async *[Symbol.asyncIterator]() {
          for await (const frame of stream) yield seen(type, peer, self, frame)
        },
      }
    },
    onMessage: (type, handler) => transport.onMessage(type, handler),
    onStream: (type, handler) => transport.onStream(type, handler),
    close: () => transport.close(),
  }
}
