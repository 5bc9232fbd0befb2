/** What the transport between machines is given, and every bound that it keeps. */
import type { KeyPair } from '../../../core/identity/keys.ts'
import type { PeerId } from '../../../core/ids.ts'
import { LIMITS } from '../../../core/limits.ts'
import type { Directory, PenaltyReason } from '../../runtime/mesh.ts'
import type { Clock, Random } from '../../runtime/ports.ts'

export type TlsTransportOptions = {
  /** Where peers may dial this node; port 0 takes a free one; null: it only dials. */
  readonly listen: { readonly host: string; readonly port: number } | null
  /** Of a private swarm, at least 32 bytes; null: a public one. */
  readonly swarmKey: Uint8Array | null
  /** Message and stream types that a stranger may call. */
  readonly openTypes: readonly string[]
  /** Keeps links to two of the peers that `ports.gateways` names, so that others reach this node through them. */
  readonly behindNat?: boolean
  readonly limits?: Partial<MeshLimits>
}

export type TlsTransportPorts = {
  readonly key: KeyPair
  readonly clock: Clock
  readonly random: Random
  readonly directory: Directory
  /** Gets what a handler threw that is no FabricError. */
  readonly onBug: (error: unknown) => void
  /** Counts what was refused; the peer is null before its key is known. */
  readonly onReject?: (reason: MeshReject, peer: PeerId | null) => void
  /** Peers that could be gateways of this node, best first; asked again at each try. */
  readonly gateways?: () => readonly PeerId[]
}

/** Why something that came over the network was refused; it travels as the `reason` of CF_MESH_REFUSED where a caller waits. */
export const MESH_REJECTS = [
  'handshake_failed',
  'handshake_too_slow',
  'key_not_admitted',
  'not_the_peer_asked',
  'swarm_key',
  'protocol',
  'graylisted',
  'stranger',
  'no_handler',
  'body_too_large',
  'answer_too_large',
  'frame_too_large',
  'window_exceeded',
  'too_many_calls',
  'too_many_bytes',
  'too_many_sessions',
  'rate',
  'relay_unknown',
  'relay_full',
] as const
export type MeshReject = (typeof MESH_REJECTS)[number]

export type MeshLimits = {
  /** Of a request, an answer and one stream frame. */
  readonly frameBytesMax: number
  /** Frames of one direction of a stream that were sent and not read. */
  readonly frameCountMax: number
  /** Bytes of them; a single larger frame may pass alone. */
  readonly windowBytesMax: number
  /** Bodies, answers and frames that wait in memory for one peer, and for all. */
  readonly peerBytesMax: number
  readonly totalBytesMax: number
  readonly handlersPerPeerMax: number
  readonly handlersMax: number
  /** Calls that one peer may begin per second, and at once. */
  readonly callsPerSecond: number
  readonly callsBurst: number
  /** The same for all strangers of one address block. */
  readonly strangerCallsPerSecond: number
  readonly strangerCallsBurst: number
  /** Connections that one address block may begin per second, and at once. */
  readonly connectsPerSecond: number
  readonly connectsBurst: number
  /** Connections whose handshake is not done: of one block, and of all; the oldest goes when one more comes. */
  readonly handshakesPerBlockMax: number
  readonly handshakesMax: number
  readonly handshakeMs: number
  /** Accepted sessions of one peer; the oldest goes when one more comes. */
  readonly sessionsPerPeerMax: number
  /** Accepted sessions of strangers, of one block and of all. */
  readonly strangersPerBlockMax: number
  readonly strangersMax: number
  /** Of one connection attempt, handshake included. */
  readonly dialMs: number
  /** Sessions that this node dialled; the longest idle goes when one more comes. */
  readonly dialledMax: number
  /** So long an address is tried alone before the next one is tried beside it. */
  readonly staggerMs: number
  readonly backoffMs: number
  readonly backoffMsMax: number
  /** A session is asked whether it lives after so long without, and is dropped when it does not say so in time. */
  readonly pingMs: number
  readonly pingDeadlineMs: number
  /** A session without a call closes. */
  readonly idleMs: number
  /** Longest that the body of a call may take to arrive. */
  readonly bodyMs: number
  /** Longest that a call may ask its handler to run. */
  readonly callMsMax: number
  readonly gatewayCount: number
  readonly gatewayRetryMs: number
  /** Peers behind NAT that this node keeps links of, and connections that it relays: of all, for one target, by one caller. */
  readonly reverseLinksMax: number
  readonly relaysMax: number
  readonly relaysPerPeerMax: number
  /** Penalty points at which a peer is not heard, for how long at first and at most, and the half-life of points. */
  readonly graylistPoints: number
  readonly graylistMs: number
  readonly graylistMsMax: number
  readonly penaltyHalfLifeMs: number
  readonly penalties: Readonly<Record<PenaltyReason, number>>
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const MIB = 1_048_576

export const MESH_LIMITS: MeshLimits = {
  frameBytesMax: LIMITS.envelopeBytesMax,
  frameCountMax: 32,
  windowBytesMax: MIB / 2,
  peerBytesMax: 32 * MIB,
  totalBytesMax: 256 * MIB,
  handlersPerPeerMax: 256,
  handlersMax: 1_024,
  callsPerSecond: 2_000,
  callsBurst: 4_000,
  strangerCallsPerSecond: 10,
  strangerCallsBurst: 40,
  connectsPerSecond: 100,
  connectsBurst: 400,
  handshakesPerBlockMax: 64,
  handshakesMax: 256,
  handshakeMs: 5 * SECOND,
  sessionsPerPeerMax: 4,
  strangersPerBlockMax: 16,
  strangersMax: 64,
  dialMs: 4 * SECOND,
  dialledMax: 512,
  staggerMs: 500,
  backoffMs: 100,
  backoffMsMax: 2 * SECOND,
  pingMs: 5 * SECOND,
  pingDeadlineMs: 3 * SECOND,
  idleMs: 5 * MINUTE,
  bodyMs: 30 * SECOND,
  callMsMax: 24 * 60 * MINUTE,
  gatewayCount: 2,
  gatewayRetryMs: SECOND,
  reverseLinksMax: 256,
  relaysMax: 1_024,
  relaysPerPeerMax: 64,
  graylistPoints: 100,
  graylistMs: MINUTE,
  graylistMsMax: 60 * MINUTE,
  penaltyHalfLifeMs: MINUTE,
  penalties: { signature_invalid: 25, malformed: 20, stale_record: 2, flood: 1, equivocation: 100 },
}
