/** What the parts of a node know of other peers: the seams between transport, membership, region log and jobs of a swarm. */
import type { Digest, PeerId } from '../../core/ids.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import type { Refused } from '../../core/log/refusal.ts'
import type { PeerRecord } from '../../core/roster/record.ts'
import type { RosterSnapshot } from '../../core/roster/roster.ts'
import type { LogHead, LogRecord, PeerTransport } from './ports.ts'

/** Where a peer can be dialled: an address of its own, or a gateway that it keeps a connection to. */
export type PeerAddress =
  | { readonly kind: 'direct'; readonly host: string; readonly port: number }
  | { readonly kind: 'relay'; readonly gateway: PeerId }

/** Whom a transport may dial, and what callers may ask. */
export interface Directory {
  /** In the order in which they should be tried; none: the peer cannot be dialled. */
  addressesOf(peer: PeerId): readonly PeerAddress[]
  /** `member`: let in by the genesis or the log. A stranger may only ask what a newcomer asks. */
  standingOf(peer: PeerId): 'member' | 'stranger'
}

export type Link = {
  readonly peer: PeerId
  readonly direction: 'dialled' | 'accepted' | 'reverse'
  readonly via: PeerAddress | null
  readonly sinceMs: number
  readonly openCalls: number
}

/** What a transport between machines holds now. */
export type MeshLoad = {
  readonly links: Readonly<Record<Link['direction'], number>>
  /** Calls of others that run. */
  readonly handlers: number
  /** Of their bodies, answers and frames that wait here. */
  readonly bytes: number
  /** Connections that have not said who they are. */
  readonly handshakes: number
  /** Peers that are not heard for a while. */
  readonly graylisted: number
}

/** A transport between machines. */
export interface MeshTransport extends PeerTransport {
  /** Where it listens, with the port that it really got; undefined when it only dials. */
  readonly listening: { readonly host: string; readonly port: number } | undefined
  links(): readonly Link[]
  /** Counts against a peer what another layer found out; enough of it and the peer is not heard for a while. */
  penalise(peer: PeerId, reason: PenaltyReason): void
}

/** Why a peer loses standing with this node; each has its weight in the transport's limits. */
export const PENALTY_REASONS = ['signature_invalid', 'malformed', 'stale_record', 'flood', 'equivocation'] as const
export type PenaltyReason = (typeof PENALTY_REASONS)[number]

export const PEER_STATES = ['alive', 'suspect', 'dead', 'left'] as const
export type PeerState = (typeof PEER_STATES)[number]

/** A peer as this node sees it now. */
export type PeerSight = {
  readonly peer: PeerId
  readonly state: PeerState
  readonly record: PeerRecord
  /** The sealed `peer-record`, as it came. */
  readonly envelope: Uint8Array
  /** Of the last direct probe, milliseconds; null before the first, and for this node itself. */
  readonly rttMs: number | null
  /** When it came into this state, by this node's clock. */
  readonly sinceMs: number
}

/** What a peer says of itself, but for its version, which membership gives. */
export type SelfRecord = Omit<PeerRecord, 'incarnation' | 'sequence'>

/** Who is there, by probes and signed gossip. */
export interface Membership {
  /** Everybody known, this node included, in PeerId order. */
  sights(): readonly PeerSight[]
  sight(peer: PeerId): PeerSight | undefined
  /** Makes this node's record what is given; signed on change, at most once in 5 s. */
  announce(record: SelfRecord): void
  /** Learns of the swarm from the first of these peers that answers. @throws FabricError CF_MESH_PEER_UNREACHABLE when none does */
  join(peers: readonly PeerId[], signal: AbortSignal): Promise<void>
  /** Tells others that this node goes, then stops. */
  leave(): Promise<void>
  /** Called after each change of a peer's state or record. @returns stops the calls */
  onChange(listener: (sight: PeerSight) => void): () => void
}

/** The region log as a node reaches it that does not hold it: through a validator, verifying all that it reads. */
export interface LogAccess {
  /** For `status`. */
  readonly name: string
  /** The entry is built, timed and made durable by a validator; repeating it after an unknown outcome is safe. */
  append(kind: EntryKind, body: Uint8Array): Promise<{ readonly status: 'applied'; readonly index: bigint } | Refused>
  read(from: bigint, countMax: number): Promise<readonly LogRecord[]>
  /** Every entry from `from` on, then new ones as they come, until the signal aborts; survives the loss of a validator. */
  tail(from: bigint, signal: AbortSignal): AsyncIterable<LogRecord>
  head(): Promise<LogHead | undefined>
}

/** Rosters by their root. */
export interface Rosters {
  of(root: Digest): RosterSnapshot | undefined
  /** Asks other peers when it is not here. @returns undefined when nobody has it */
  fetch(root: Digest, signal: AbortSignal): Promise<RosterSnapshot | undefined>
  /** Keeps it on disk, while anything may still name it. */
  put(roster: RosterSnapshot): Promise<void>
}
