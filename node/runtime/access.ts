/** Who may use the API of a node and how much of it: keys, their limits, and where what they used is remembered. */

import type { DriverKind } from '../../models/backend.ts'
import type { MeshLoad } from './mesh.ts'

/** `read` looks, `user` also has jobs and spends, `admin` also mints, moves credit and manages keys. Each may do what those before it may. */
export const ROLES = ['read', 'user', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** Which requests are refused first when the node is at capacity: `low` before `normal` before `high`. */
export const PRIORITIES = ['low', 'normal', 'high'] as const
export type Priority = (typeof PRIORITIES)[number]

/** What a key may use; null is no limit of its own. */
export type KeyLimits = {
  readonly priority: Priority
  /** Requests a minute, and how many of them at once after a quiet while; `burst` null: a whole minute's. */
  readonly ratePerMinute: number | null
  readonly burst: number | null
  /** Micro-credits that its jobs and spends may have held and cost, ever and in one UTC day. */
  readonly budget: bigint | null
  readonly budgetPerDay: bigint | null
  readonly openJobsMax: number | null
}

export type KeyWish = KeyLimits & { readonly name: string; readonly role: Role }

export type ApiKey = KeyWish & {
  /** 16 hexadecimal digits; part of the key's text and no secret. */
  readonly id: string
  readonly createdMs: number
  /** SHA-256 of the secret part, hex. */
  readonly sha256: string
}

/** The keys of this node, shared with the command line through a file: what another process changed is seen within a second. */
export interface ApiKeys {
  /** By id; keys that were revoked are not found. */
  find(id: string): ApiKey | undefined
  /** Oldest first. @throws CF_IDENTITY_KEY_UNREADABLE */
  list(): readonly ApiKey[]
  /** @returns the whole text `cfab_<id>_<secret>`, which nobody can show again. @throws CF_CONTROL_TOO_MANY_KEYS, CF_IDENTITY_KEY_UNREADABLE */
  add(wish: KeyWish): Promise<{ readonly key: ApiKey; readonly text: string }>
  /** @throws CF_CONTROL_KEY_UNKNOWN, CF_IDENTITY_KEY_UNREADABLE */
  revoke(id: string): Promise<ApiKey>
}

/** Budget that a job or a spend has reserved and not yet settled. */
export type KeyHold = {
  /** Drawn when it is reserved. */
  readonly id: string
  /** Id of the API key. */
  readonly key: string
  /** Micro-credits: the most that it can cost. */
  readonly amount: bigint
  /** Days since the epoch, UTC, when it was reserved: the day that pays. */
  readonly day: number
  /** By which a job is found in the log after a restart; null for a spend, which is over before its request is. */
  readonly nonce: bigint | null
}

export type KeySpent = {
  readonly key: string
  /** Of one day; null for all time. */
  readonly day: number | null
  readonly amount: bigint
}

/** Remembers across restarts what keys hold and have spent. */
export interface KeyUsage {
  holds(): readonly KeyHold[]
  spent(): readonly KeySpent[]
  /** Durable when it resolves: only then may anything be spent under it. */
  reserve(hold: KeyHold): Promise<void>
  /** Ends a hold, if there is one, and adds what was spent, in one transaction. */
  settle(hold: KeyHold, cost: bigint): Promise<void>
}

/** What a model's engine has done since the node started. */
export type EngineReading = {
  /** Id of an installed model. */
  readonly model: string
  readonly driver: DriverKind
  readonly slotsBusy: number
  readonly waiting: number
  readonly steps: number
  /** What the steps took, milliseconds. */
  readonly stepMs: number
  readonly tokensDecoded: number
  readonly tokensPrefilled: number
  readonly tokensFromCache: number
  readonly residentBytes: number
  readonly loads: number
  readonly unloads: number
  readonly restarts: number
}

/** What a node tells its control plane beyond the App: for limits, metrics and status. */
export interface NodeGauges {
  /** Jobs that are not settled. */
  openJobs(): number
  /** Whether the local user's nonce has become a job in the log; its id then. */
  jobOfNonce(nonce: bigint): string | undefined
  slots(): { readonly busy: number; readonly total: number }
  /** Of every model that was in memory at some time since the node started. */
  engines(): Promise<readonly EngineReading[]>
  /** Messages of peers that were refused, by reason: a short list that the code knows. */
  rejects(): ReadonlyMap<string, number>
  /** Auditors that this edge asked, by what came of it. */
  audits(): ReadonlyMap<string, number>
  /** Undefined where there is no other machine. */
  mesh(): MeshLoad | undefined
}
