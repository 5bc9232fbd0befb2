/** What the control plane (HTTP, CLI) may ask of the node: the daemon implements it, tests fake it. Amounts are bigint micro-credits. */
import type { AccountId, JobId, PeerId, SwarmId, UserId } from '../../core/ids.ts'
import type { PriceQuote } from '../../core/ledger/pricing.ts'
import type { SeedMode } from '../../core/log/inputs.ts'
import type { DisputeClaim } from '../../core/verification/dispute.ts'
import type { ChatMessage, Driver, ThinkFormat, TokenDetail, ToolFormat, ToolSpec } from '../../models/backend.ts'
import type { DisputeView } from './disputes.ts'
import type { Policies } from './policies.ts'
import type { TransferFilter, TransferRow } from './ports.ts'
import type { ReportView } from './reports.ts'
import type { Simulator } from './simulation.ts'

/** Whether a chat may call one of its tools, must call at least one, or must call this one. */
export type ToolChoice = 'auto' | 'required' | { readonly name: string }
export type ChatInput = {
  readonly task: 'chat'
  readonly messages: readonly ChatMessage[]
  readonly tools?: readonly ToolSpec[]
  /** Absent: `auto`. Any other makes the job `unverifiable`: its output follows a grammar. */
  readonly toolChoice?: ToolChoice
  /** Whether a choice that is forced may become several calls; absent: true. */
  readonly parallelToolCalls?: boolean
  /** Of a model that can think first: whether it should. Absent leaves it to the model. */
  readonly thinking?: boolean
}
/** `completion` feeds the text, or the token ids, to the model as they are; `embedding` turns each text into a vector. */
export type JobInput =
  | ChatInput
  | { readonly task: 'completion'; readonly prompt: string | readonly number[] }
  | { readonly task: 'embedding'; readonly texts: readonly string[] }

export type JobRequest = {
  /** Model id of the catalogue, e.g. `cfab-tiny`. */
  readonly model: string
  readonly input: JobInput
  /** 0..2000; 0 is greedy. */
  readonly temperatureMilli: number
  /** 1..40 */
  readonly topK: number
  /** Anything but the neutral value (1000, 0, 0) asks for a sampler that nobody can replay: the job is `unverifiable`. */
  readonly topPMilli?: number
  readonly frequencyPenaltyMilli?: number
  readonly presencePenaltyMilli?: number
  /** GBNF that the answer follows: makes the job `unverifiable`, as `logitBias` does. */
  readonly grammar?: string
  /** At most 300. */
  readonly logitBias?: readonly { readonly id: number; readonly biasMilli: number }[]
  /** Up to 4 texts that end the answer; the tokens that completed one are part of the output, its text is shown up to it. */
  readonly stop?: readonly string[]
  /** 0..20 alternatives shown beside each token; absent: none of it. */
  readonly topLogprobs?: number
  /** Absent: min(1024, context left). Meaningless for embeddings. */
  readonly maxTokens?: number
  readonly replicas: number
  readonly verify: 'after' | 'before'
  /** Micro-credits; absent: the whole quote is allowed. */
  readonly maxBudget?: bigint
  readonly region?: string
  /** Decimal u64; a caller that repeats it gets the same job or CF_JOB_NONCE_USED. Absent: drawn at random. */
  readonly nonce?: bigint
  /** 32 bytes that choose the sample; absent: drawn at random. */
  readonly seedNonce?: Uint8Array
  /** Whether replicas draw from one seed; absent: `hidden`. */
  readonly seeds?: SeedMode
  /** Tokens a second, as witnesses see it, from which on a replica earns the speed bonus; absent: none. */
  readonly speedTarget?: number
}

/** `hold` is the price at the full length, with every replica earning all that it can. */
export type Quote = PriceQuote & {
  readonly model: string
  readonly promptTokens: number
  readonly maxTokens: number
  readonly replicas: number
  readonly eligible: readonly PeerId[]
}

/**
 * How a job ended: paid outcomes say how much the answer was checked. `verified` only when two owners agreed or an audit passed;
 * `unaudited` when nobody independent looked; `local` in a swarm that one person owns.
 */
export const OUTCOME_KINDS = ['verified', 'unaudited', 'local', 'rejected', 'refunded'] as const
export type OutcomeKind = (typeof OUTCOME_KINDS)[number]

export type JobOutcome = {
  /** `pending` when the verdict is not in within outcomeWaitMs; the receipt follows. */
  readonly outcome: OutcomeKind | 'pending'
  readonly assurance: string
  readonly reason: string
  readonly receiptId: JobId
  readonly cost: bigint
  readonly refund: bigint
}

export type JobProgress =
  | { readonly type: 'phase'; readonly phase: string; readonly atMs: number; readonly detail: string }
  | {
      readonly type: 'tokens'
      readonly ids: readonly number[]
      readonly text: string
      readonly details?: readonly TokenDetail[]
    }
  /** The whole result of an embedding job, in the order of its texts. */
  | { readonly type: 'vectors'; readonly vectors: readonly Float32Array[] }
  | { readonly type: 'finish'; readonly finish: 'stop' | 'length' | 'aborted'; readonly completionTokens: number }
  | ({ readonly type: 'outcome' } & JobOutcome)

export type JobHandle = {
  readonly id: JobId
  readonly promptTokens: number
  /** Phases, tokens, finish, then exactly one outcome; from the beginning, also for a second listener, within a bounded buffer. */
  progress(signal: AbortSignal): AsyncIterable<JobProgress>
  /** True when this very intent had been submitted before. */
  readonly repeated: boolean
  /** False when its sampler cannot be replayed by others. */
  readonly verifiable: boolean
}

export type JobView = {
  readonly id: JobId
  readonly phase: string
  readonly createdMs: number
  readonly model: string
  readonly task: JobInput['task']
  readonly verifiable: boolean
  readonly user: UserId
  readonly replicas: readonly {
    readonly worker: PeerId
    readonly state: string
    readonly verdict: string | null
    readonly tokens: number | null
  }[]
  readonly hold: bigint
  readonly cost: bigint | null
  readonly refund: bigint | null
  readonly outcome: string | null
  readonly assurance: string | null
  readonly reason: string | null
  readonly text: string | null
  /** Of the auditors that its edge heard, by replica and rank. */
  readonly reports: readonly ReportView[]
  /** In the order in which they were opened. */
  readonly disputes: readonly DisputeView[]
}

/** A quorum's word in the log: who signed it, and which entry carries it. */
export type CertifiedEntry = {
  readonly job: JobId
  readonly kind: 'assignment' | 'result' | 'settlement'
  /** Replica of a `result`; 0 otherwise. */
  readonly replica: number
  readonly voters: readonly PeerId[]
  readonly entry: bigint
  /** Hash of that entry, hex. */
  readonly hash: string
  readonly timeMs: number
}

/** How a job came to be where it is: what a person asks for when an answer surprises. */
export type JobTimeline = {
  readonly id: JobId
  /** In order, by the log's clock; `atMs` is null for a phase that the log does not know. */
  readonly phases: readonly { readonly phase: string; readonly atMs: number | null }[]
  readonly replicas: JobView['replicas']
  /** In the order of the log. */
  readonly votes: readonly CertifiedEntry[]
  readonly transfers: readonly TransferRow[]
}

/** The draw of a job, computed again from roster, beacon and hold. */
export type JobExplanation = {
  readonly id: JobId
  readonly epoch: bigint
  readonly rosterRoot: string
  readonly beacon: string
  readonly holdHash: string
  /** Best first; `chosen` is the replica's index or null. */
  readonly ranked: readonly {
    readonly peer: PeerId
    readonly score: string
    readonly weight: number
    readonly answer: string
    readonly chosen: number | null
    readonly why: string
  }[]
  /** The assignment in the log is the one that this draw and these answers give. */
  readonly matches: boolean
}

export type QuorumView = {
  readonly epoch: bigint
  readonly setHash: string
  readonly validators: readonly { readonly id: PeerId; readonly self: boolean }[]
  readonly quorum: number
  /** Byzantine validators that the set survives. */
  readonly faulty: number
  /** True when validators also work: then f is 0 whatever the numbers say. */
  readonly overlapping: boolean
  /** Newest first. */
  readonly recent: readonly CertifiedEntry[]
}

export type AccountView = {
  readonly id: AccountId
  readonly spendable: bigint
  readonly held: bigint
  /** Earned and not yet vested. */
  readonly pending: bigint
  readonly recent: readonly TransferRow[]
}

export type InviteTerms = {
  /** The only peer that may use it; null: whoever comes first. */
  readonly forPeer: PeerId | null
  readonly lifetimeMs: number
  /** Micro-credits that its user starts with; null: as many as are usual, where there is a mint key to make them. */
  readonly grant: bigint | null
}

export type PeerView = {
  readonly id: PeerId
  readonly self: boolean
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
  readonly roles: readonly string[]
  readonly region: string
  readonly weight: number
  readonly models: readonly string[]
  /** Where it says that it can be dialled. */
  readonly addresses: readonly string[]
  /** Of the last probe; null for this node, before the first one, and in a swarm of one machine. */
  readonly rttMs: number | null
  /** Share of its slots that are busy, 0 to 1 in eighths; null when it has not said. */
  readonly load: number | null
  readonly slots: number | null
  /** How fast its fastest model was of late while it was at work; 0 before it has been. */
  readonly tokensPerSecond: number
  /** Why it is not eligible for work, or null. */
  readonly ineligible: string | null
}

export type ModelView = {
  readonly id: string
  readonly digest: string
  readonly bytes: number
  readonly parameters: string
  readonly contextTokens: number
  readonly loaded: boolean
  readonly createdMs: number
  readonly task: 'chat' | 'embedding'
  /** Length of a vector; 0 for chat models. */
  readonly dimensions: number
  /** How it writes calls of tools; absent until it has been loaded. */
  readonly toolFormat?: ToolFormat
  /** How it marks its thoughts; absent also when it has none of its own. */
  readonly thinkFormat?: ThinkFormat
}

/** `absent`: not in memory, and loaded when somebody asks for it. `waiting`: for others to make room. */
export const MODEL_STATES = ['starting', 'ready', 'restarting', 'failed', 'absent', 'waiting', 'unloading'] as const
export type ModelState = (typeof MODEL_STATES)[number]

/** A model in memory, on its way there or back, or one whose load has failed. */
export type RunningModelView = {
  readonly id: string
  readonly task: 'chat' | 'embedding'
  readonly state: ModelState
  /** The code that its load failed with, or null. */
  readonly reason: string | null
  /** Of its file. */
  readonly bytes: number
  /** What it is taken to take, bytes; 0 when it is not in memory. */
  readonly memoryBytes: number
  /** Of its process; null when there is none. */
  readonly residentBytes: number | null
  readonly driver: Driver | null
  /** As receipts name it; null until it has been loaded. */
  readonly engine: string | null
  readonly slots: number
  readonly slotsBusy: number
  readonly waiting: number
  /** Of all its generations together, over the last ten seconds. */
  readonly tokensPerSecond: number
  readonly loadedMs: number | null
  /** How long nobody has used it, milliseconds; null while somebody does. */
  readonly idleMs: number | null
  /** When it goes if nobody asks for it, wall time; null: it stays, or is in use. */
  readonly expiresMs: number | null
  /** Never unloaded to make room for another. */
  readonly pinned: boolean
}

export type StatusView = {
  readonly node: PeerId
  readonly user: UserId
  readonly swarm: SwarmId
  readonly region: string
  readonly local: boolean
  readonly version: string
  readonly startedMs: number
  readonly log: string
  readonly logNote: string
  readonly epoch: bigint
  /** Null in a swarm of one machine. */
  readonly mesh: {
    /** Where others reach this node. */
    readonly addresses: readonly string[]
    readonly links: number
    /** Peers, this one included: seen alive, and known at all. */
    readonly alive: number
    readonly known: number
  } | null
  readonly engine: string
  /** What drives the chat model's engine, and why that; null until it has been loaded. */
  readonly driver: Driver | null
  /** Of the chat model's host: what readiness depends on. */
  readonly hostState: ModelState
  /** Those of the start, the chat model first, and others that are in memory; `reason` is the code that its load failed with. */
  readonly models: readonly {
    readonly id: string
    readonly task: 'chat' | 'embedding'
    readonly state: ModelState
    readonly reason: string | null
  }[]
  readonly validators: number
  readonly quorum: number
  readonly account: AccountView
  readonly earned: AccountView
  readonly jobs: { readonly open: number; readonly settledLastHour: number; readonly refundedLastHour: number }
  /** Why the node does nothing just now, or null while it works. */
  readonly idle: string | null
}

export type DirectTransfer = {
  readonly kind: 'spend' | 'reward' | 'transfer'
  readonly from: AccountId
  readonly to: AccountId
  readonly amount: bigint
  readonly reason: string
  readonly jobId: JobId | null
  readonly idempotencyKey: string
}

export type AuditView = {
  readonly zeroSum: boolean
  readonly total: bigint
  readonly accounts: number
  readonly entries: bigint
  /** The whole log, applied again from genesis, gives the tables that the node uses. */
  readonly replayMatches: boolean
  readonly openHolds: number
}

/** Every method throws FabricError with a stable code; nothing else crosses this line. */
export interface App extends Simulator {
  ready(): { readonly ready: boolean; readonly reason: string }
  status(): StatusView
  /** Every model that can be asked for, loaded or not. */
  models(): readonly ModelView[]
  running(): Promise<readonly RunningModelView[]>
  /** @param keepAliveMs  how long it stays without a job; null: for ever; absent: as long as any other */
  loadModel(id: string, keepAliveMs: number | null | undefined, signal: AbortSignal): Promise<void>
  /** @throws FabricError CF_MODEL_UNKNOWN, CF_MODEL_IN_USE */
  unloadModel(id: string): Promise<void>
  peers(): readonly PeerView[]
  /** One line that lets a peer in. @throws FabricError CF_MESH_INVITE_REFUSED */
  invite(terms: InviteTerms): Promise<string>
  /** The encoded roster of an epoch, the current one when none is named; undefined when it is not at hand. */
  roster(epoch?: bigint): Uint8Array | undefined
  quote(request: JobRequest): Promise<Quote>
  /** Resolves when the hold is durable. */
  submit(request: JobRequest, signal: AbortSignal): Promise<JobHandle>
  /** An intent signed elsewhere: envelope bytes, and the `job-inputs` body that it binds. */
  submitSigned(envelope: Uint8Array, inputs: Uint8Array, signal: AbortSignal): Promise<JobHandle>
  watch(id: JobId): JobHandle | undefined
  job(id: JobId): JobView | undefined
  jobs(limit: number, beforeMs?: number): readonly JobView[]
  timeline(id: JobId): Promise<JobTimeline | undefined>
  explain(id: JobId): JobExplanation | undefined
  /** @param limit  newest certificates shown, at most */
  quorum(limit: number): Promise<QuorumView>
  /** Asks a running job to stop: what was produced so far is settled as it stands or refunded. */
  cancel(id: JobId): void
  /** The sealed receipt file, output included; undefined while the job runs or when it is unknown. */
  receipt(id: JobId): Uint8Array | undefined
  /** The evidence file about a replica; absent: the first that is accused. @throws FabricError as `exportEvidence` */
  evidence(id: JobId, replica: number | undefined, withPrompt: boolean): Uint8Array
  /**
   * Disputes a finding with the key of this node that has a part in the job: its user's, a worker's or its edge's.
   * @throws FabricError CF_JOB_UNKNOWN, CF_JOB_NOT_SETTLED, CF_JOB_DISPUTE_CLOSED, CF_JOB_DISPUTE_REFUSED, CF_LEDGER_INSUFFICIENT_CREDIT
   */
  dispute(id: JobId, replica: number, claim: DisputeClaim): Promise<DisputeView>
  readonly policies: Policies
  genesis(): Uint8Array
  account(id: AccountId): AccountView
  transfers(filter: TransferFilter): readonly TransferRow[]
  mint(to: AccountId, amount: bigint, reason: string, idempotencyKey: string): Promise<TransferRow>
  transfer(transfer: DirectTransfer): Promise<TransferRow>
  audit(): Promise<AuditView>
}
