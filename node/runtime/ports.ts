/** The seams of the daemon: each outside thing has one small interface here and one contract suite in test/contract. */

import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, PeerId } from '../../core/ids.ts'
import type { Applied, Refused } from '../../core/log/apply.ts'
import type { EntryKind } from '../../core/log/entry.ts'

export interface Clock {
  /** Wall time, milliseconds since the epoch. */
  nowMs(): number
  /** Nanoseconds from an arbitrary start; never goes back. */
  monotonicNs(): bigint
  /** @throws the signal's reason when it aborts first */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export interface Random {
  /** Cryptographically strong in production, seeded in simulation. */
  bytes(byteCount: number): Uint8Array
}

export interface KeyStore {
  /** The named key, created (mode 0600) when absent. Names match /^[a-z0-9-]{1,40}$/. */
  load(name: string): Promise<KeyPair>
  list(): Promise<readonly string[]>
}

export type CallOptions = { readonly deadlineMs: number; readonly signal?: AbortSignal }

/** A bidirectional stream of frames; iterating it yields what the other side sends. Ends or throws, never hangs past its deadline. */
export interface PeerStream extends AsyncIterable<Uint8Array> {
  /** Resolves when the other side has room: at most `frameCountMax` frames are ever buffered. */
  send(frame: Uint8Array): Promise<void>
  /** Normal end of this side's frames; frames sent to a side whose handler has returned are dropped. */
  end(): void
  /** Both directions stop; the other side's iteration throws CF_MESH_STREAM_BROKEN. */
  destroy(): void
}

export type RequestHandler = (from: PeerId, body: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
export type StreamHandler = (from: PeerId, body: Uint8Array, stream: PeerStream, signal: AbortSignal) => Promise<void>

/** Peers are addressed by PeerId only; bytes are copied, never shared. */
export interface PeerTransport {
  readonly self: PeerId
  /** @throws FabricError CF_MESH_PEER_UNREACHABLE, CF_MESH_DEADLINE, CF_MESH_REFUSED (no handler, or the handler refused) */
  request(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array>
  openStream(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<PeerStream>
  /** One handler per type; registering a type twice is a bug. */
  onMessage(type: string, handler: RequestHandler): void
  onStream(type: string, handler: StreamHandler): void
  close(): Promise<void>
}

export type LogHead = { readonly index: bigint; readonly hash: Uint8Array }
export type LogRecord = { readonly index: bigint; readonly bytes: Uint8Array }
/** What a log must know of an entry to hold the chain together. */
export type EntryLink = { readonly index: bigint; readonly previous: Uint8Array; readonly hash: Uint8Array }
export type ProposeOptions = {
  /** Hash of the entry that the batch was built on (32 zero bytes on an empty log); another head refuses the whole batch. */
  readonly expectHead: Uint8Array
  /** 32 bytes; the same key again returns the first result without appending. */
  readonly idempotencyKey: Uint8Array
  /** Rows that follow from the batch. An embedded log commits them in the same transaction; a remote one leaves them to the caller. */
  readonly projection: readonly StoreWrite[]
  /** Of each entry, when the proposer has just built them; absent: a log that keeps links reads them from the bytes. */
  readonly links?: readonly EntryLink[]
}
export type Proposed =
  | {
      readonly status: 'appended' | 'repeated'
      readonly first: bigint
      readonly last: bigint
      readonly projected: boolean
    }
  | { readonly status: 'conflict'; readonly head: LogHead }

/** Ordered, durable before it answers, compare-and-set on the head. */
export interface RegionLog {
  /** For `status`: 'sqlite@<PeerId>' or 'etcd:<addresses>'. */
  readonly name: string
  propose(batch: readonly Uint8Array[], options: ProposeOptions): Promise<Proposed>
  /** Entries from `from` on, at most `countMax`. */
  read(from: bigint, countMax: number): Promise<readonly LogRecord[]>
  /** Every entry from `from` on, then new ones as they come, until the signal aborts. */
  tail(from: bigint, signal: AbortSignal): AsyncIterable<LogRecord>
  /** `undefined` on an empty log. */
  head(): Promise<LogHead | undefined>
  snapshot(upTo: bigint, digest: Uint8Array): Promise<void>
  trim(before: bigint): Promise<void>
  close(): Promise<void>
}

/** One row change of the local database. Keys are primary keys: the same write twice leaves one row. */
export type StoreWrite =
  | {
      readonly table: 'job'
      readonly id: JobId
      readonly phase: string
      readonly createdMs: number
      readonly bytes: Uint8Array
    }
  /** What the client sent point to point (prompt, salt, seed nonce). Empty `bytes` delete it: when the job has settled and its window closed. */
  | { readonly table: 'payload'; readonly id: JobId; readonly bytes: Uint8Array }
  | { readonly table: 'receipt'; readonly id: JobId; readonly bytes: Uint8Array }
  /** A validator's vote, keyed by voter and subject: on disk before it is sent. Another vote on the same subject fails the commit. */
  | { readonly table: 'vote'; readonly voter: PeerId; readonly subject: string; readonly bytes: Uint8Array }
  /** A worker's commitment with what it needs to reveal: on disk before it is sent. */
  | { readonly table: 'work'; readonly worker: PeerId; readonly subject: string; readonly bytes: Uint8Array }
  /** The members of an epoch; the oldest epochs make room. */
  | { readonly table: 'roster'; readonly root: Digest; readonly epoch: bigint; readonly bytes: Uint8Array }
  | { readonly table: 'ledger'; readonly rows: LedgerRows }

/** The projection of applied entries, made by node/stores/projection.ts from a forked LogState. */
export type LedgerRows = {
  readonly accounts: readonly { readonly id: string; readonly bytes: Uint8Array }[]
  readonly loggedJobs: readonly {
    readonly id: string
    /** Null once it is settled. */
    readonly deadlineMs: number | null
    readonly bytes: Uint8Array
  }[]
  readonly keyed: readonly {
    readonly table: 'nonce' | 'idempotency' | 'invite' | 'evidence' | 'peer' | 'epoch' | 'policy'
    readonly key: string
    readonly value: Uint8Array
  }[]
  readonly transfers: readonly TransferRow[]
  /** Index, head hash, log time, epoch, beacon, roster root, validators: the scalars of the state. */
  readonly head: Uint8Array
}

export type TransferRow = {
  readonly id: string
  /** Position in the whole history: entry index * 64 + place within the entry. */
  readonly sequence: bigint
  readonly timeMs: number
  readonly kind: string
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly reason: string
  readonly jobId: string | null
  readonly nodeId: string | null
  readonly idempotencyKey: string
  /** Hash of the log entry that carried it, hex. */
  readonly hash: string
}

export type TransferFilter = {
  readonly account?: string
  readonly jobId?: string
  /** Hash of the log entry that carried it, hex: how the answer to a repeated request finds the first transfer. */
  readonly hash?: string
  readonly limit: number
  /** Only rows with a sequence below this: newest first. */
  readonly before?: bigint
}

/** The tables of the log's state. */
export type LedgerTable = 'account' | 'loggedJob' | LedgerRows['keyed'][number]['table']

/** The local database: durable when `commit` resolves; writes of one call are one transaction, concurrent calls share a group commit. */
export interface Store {
  commit(writes: readonly StoreWrite[]): Promise<void>
  job(id: JobId): { readonly phase: string; readonly bytes: Uint8Array } | undefined
  /** Jobs that still owe something, oldest first. */
  openJobs(): readonly { readonly id: JobId; readonly bytes: Uint8Array }[]
  listJobs(
    limit: number,
    beforeMs?: number,
  ): readonly { readonly id: JobId; readonly phase: string; readonly createdMs: number; readonly bytes: Uint8Array }[]
  payload(id: JobId): Uint8Array | undefined
  /** Settled jobs whose payload is still kept, oldest first. */
  keptPayloads(limit: number): readonly JobId[]
  /** The sealed receipt file, output included. */
  receipt(id: JobId): Uint8Array | undefined
  vote(voter: PeerId, subject: string): Uint8Array | undefined
  work(worker: PeerId, subject: string): Uint8Array | undefined
  roster(root: Digest): Uint8Array | undefined
  transfers(filter: TransferFilter): readonly TransferRow[]
  /** Point lookups behind the LogState's tables. */
  ledgerRow(table: LedgerTable, key: string): Uint8Array | undefined
  /** Rows of a table: an audit compares it with what a replay of the log gives. */
  ledgerCount(table: LedgerTable): number
  ledgerHead(): Uint8Array | undefined
  /** Every row of a table in order of its key. Nothing is written while the rows are taken one after the other in one tick. */
  ledgerRows(table: LedgerTable): Iterable<{ readonly key: string; readonly bytes: Uint8Array }>
  /** Logged jobs that nobody has settled, the earliest deadline first. */
  unsettledJobs(limit: number): readonly { readonly id: JobId; readonly deadlineMs: number }[]
  accounts(): readonly { readonly id: string; readonly bytes: Uint8Array }[]
  close(): Promise<void>
}

/** The only way to change money: queues, applies on a fork, proposes, then folds. */
export interface Ledger {
  /** Resolves after the entry is durable, with what it did, or with the refusal that `applyEntry` gave (nothing was written then). */
  append(
    kind: EntryKind,
    body: Uint8Array,
    alongside?: (applied: Applied) => readonly StoreWrite[],
  ): Promise<Applied | Refused>
  close(): Promise<void>
}
