/** Connects to a peer: TLS 1.3 with our certificate, and only when the other side holds the peer's key. */
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import type { PeerId } from '../../../core/ids.ts'
import type { Call } from '../call.ts'
import { type Credentials, peerOfCertificate } from './certificate.ts'
import { broken, refused } from './wire.ts'

/** A lost peer is noticed by the kernel too, for connections on which nothing is asked. */
const KEEP_ALIVE_MS = 15_000

export function dialTcp(host: string, port: number, call: Call): Duplex {
  const socket = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS })
  call.signal.addEventListener('abort', () => socket.destroy(), { once: true })
  return socket
}

/**
 * Makes a byte way a session with one peer.
 *
 * @throws CF_MESH_REFUSED not_the_peer_asked when somebody else answers; CF_MESH_STREAM_BROKEN when the way ends before
 */
export async function secure(
  way: Duplex,
  peer: PeerId,
  alpn: string,
  credentials: Credentials,
  call: Call,
): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect({
    socket: way,
    ...credentials,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // The authority over who is who is the PeerId: `pinned` below.
    rejectUnauthorized: false,
    ALPNProtocols: [alpn],
  })
  socket.once('secureConnect', resolve)
  socket.once('close', () => reject(broken()))
  socket.on('error', () => {})
  way.once('error', () => socket.destroy())
  way.once('close', () => socket.destroy())
  call.signal.addEventListener('abort', () => socket.destroy(), { once: true })
  try {
    await call.race(promise)
    if (!isPinned(socket, peer)) throw refused('not_the_peer_asked')
    if (socket.alpnProtocol !== alpn) throw refused('protocol')
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function isPinned(socket: TLSSocket, peer: PeerId): boolean {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || socket.isSessionReused()) return false
  const found = peerOfCertificate(certificate)
  return found.action === 'accept' && found.value === peer
}
