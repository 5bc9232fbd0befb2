/** Peers that talk over real sockets on loopback, for tests of the transport. */
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import type { MeshLimits, MeshReject, TlsTransportOptions, TlsTransportPorts } from '../../node/mesh/tls/options.ts'
import { createTlsTransport, type TlsTransport } from '../../node/mesh/tls/transport.ts'
import type { PeerAddress } from '../../node/runtime/mesh.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'

export const LOOPBACK = '127.0.0.1'

export type MeshPeer = TlsTransport & {
  readonly key: KeyPair
  /** What it refused, in order. */
  readonly rejects: MeshReject[]
  readonly bugs: unknown[]
}

/** A directory that a test writes. */
export type Book = {
  readonly addresses: Map<PeerId, readonly PeerAddress[]>
  readonly strangers: Set<PeerId>
}

export function emptyBook(): Book {
  return { addresses: new Map(), strangers: new Set() }
}

export function keyOfSeed(seed: number): KeyPair {
  return keyPairFromSeed(new Uint8Array(32).fill(seed))
}

export type MeshPeerOptions = Partial<Omit<TlsTransportOptions, 'limits'>> & {
  readonly limits?: Partial<MeshLimits>
  readonly gateways?: TlsTransportPorts['gateways']
}

/** Starts a peer and writes its address into the book. @param seed  of its key */
export async function meshPeer(seed: number, book: Book, options: MeshPeerOptions = {}): Promise<MeshPeer> {
  const { gateways, ...rest } = options
  const key = keyOfSeed(seed)
  const rejects: MeshReject[] = []
  const bugs: unknown[] = []
  const transport = await createTlsTransport(
    { listen: { host: LOOPBACK, port: 0 }, swarmKey: null, openTypes: [], ...rest },
    {
      key,
      clock: systemClock,
      random: systemRandom,
      directory: {
        addressesOf: (peer) => book.addresses.get(peer) ?? [],
        standingOf: (peer) => (book.strangers.has(peer) ? 'stranger' : 'member'),
      },
      onBug: (error) => bugs.push(error),
      onReject: (reason) => rejects.push(reason),
      ...(gateways === undefined ? {} : { gateways }),
    },
  )
  const { listening } = transport
  if (listening !== undefined) book.addresses.set(key.peer, [{ kind: 'direct', ...listening }])
  return Object.assign(transport, { key, rejects, bugs })
}
