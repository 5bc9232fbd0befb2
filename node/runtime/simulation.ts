/** What a simulation is asked and what it answers. Amounts are decimal credits, times are virtual milliseconds from its beginning. */
import { LIMITS } from '../../core/limits.ts'

/** Every bound of a simulation, named with its unit. */
export const SIMULATION_LIMITS = {
  peerCountMin: 5,
  peerCountMax: 2_000,
  validatorCountMin: 4,
  validatorCountMax: LIMITS.validatorCountMax,
  jobCountMax: 5_000,
  /** As many starters as a genesis names. */
  userCountMax: 16,
  seedMax: 0xffffffff,
  /** Of one message, one way. */
  latencyMsMax: 5_000,
  arrivalsPerSecondMax: 1_000,
  megaParamsMax: 1_000_000,
  promptTokensMax: LIMITS.promptTokensMax,
  /** Output tokens are really hashed, committed to and revealed. */
  outputTokensMax: 512,
  jobsShownMax: 1_000,
  jobsShownDefault: 100,
  /** Wall time of one simulation in a daemon. */
  wallMsMax: 120_000,
  violationsShownMax: 100,
} as const

/** How a peer behaves; everybody who is none of the others is honest. */
export const PEER_KINDS = ['honest', 'crash', 'liar', 'silent', 'busy', 'slow'] as const
export type PeerKind = (typeof PEER_KINDS)[number]

export type SimulationRequest = {
  readonly peers: number
  readonly validators: number
  readonly jobs: number
  readonly users: number
  readonly replicas: number
  readonly verify: 'after' | 'before'
  /** u32; absent: drawn and reported. */
  readonly seed?: number
  /** Fractions of the peers, 0..1; together at most 1. */
  readonly faults: { readonly [Kind in Exclude<PeerKind, 'honest'>]: number }
  /** They sign other digests, sign twice or say nothing, by turns. */
  readonly byzantineValidators: number
  /** Fraction of messages that never arrive. */
  readonly loss: number
  /** One way, uniformly within mean +- jitter. */
  readonly latency: { readonly meanMs: number; readonly jitterMs: number }
  /** Mean of exponential gaps between submissions. */
  readonly arrivalsPerSecond: number
  /** What the price depends on. */
  readonly model: { readonly megaParams: number; readonly promptTokens: number; readonly maxTokens: number }
  /** What each user starts with, micro-credits. */
  readonly userBudget: bigint
  readonly detail: 'summary' | 'jobs'
  /** Jobs listed at most; the report says how many were left out. */
  readonly limit: number
}

export type Quantiles = { readonly p50: number; readonly p99: number; readonly max: number; readonly count: number }
export type Counts = Readonly<Record<string, number>>

export type SimulatedJob = {
  readonly id: string
  readonly user: string
  readonly submittedMs: number
  readonly settledMs: number | null
  /** `refused` never became a job: its reason is the log's. */
  readonly outcome: 'paid' | 'refunded' | 'refused' | 'open'
  readonly reason: string
  readonly attempt: number
  /** In the order in which they were ranked, best first, as far as they were needed. */
  readonly answers: readonly { readonly peer: string; readonly answer: string }[]
  readonly workers: readonly {
    readonly peer: string
    readonly kind: PeerKind
    readonly state: string
    readonly verdict: string | null
  }[]
  /** Replica whose output is the answer. */
  readonly chosen: number | null
  readonly certificates: readonly {
    readonly kind: 'assignment' | 'finding' | 'settlement'
    readonly replica: number | null
    readonly digest: string
    readonly voters: readonly string[]
  }[]
  readonly cost: string | null
  readonly refund: string | null
}

export type Violation = { readonly rule: string; readonly detail: string; readonly atMs: number }

export type KindBalance = {
  readonly kind: PeerKind
  readonly peers: number
  /** Sum of their weights. */
  readonly weight: number
  readonly total: string
  readonly perWeight: string
}

export type SimulationSeries = {
  /** Ends of equal spans of virtual time, first to last. */
  readonly timesMs: readonly number[]
  /** Credits that a kind had earned by then, by the weight of its peers: the draw gives a peer of weight 8 eight times the work. */
  readonly earned: readonly { readonly kind: PeerKind; readonly perWeight: readonly number[] }[]
  /** Jobs that ended within each span. */
  readonly outcomes: readonly { readonly outcome: string; readonly jobs: readonly number[] }[]
  readonly latency: { readonly binMs: number; readonly jobs: readonly number[] }
  /** Draws of the first place, by weight. */
  readonly draws: readonly {
    readonly weight: number
    readonly peers: number
    readonly drawn: number
    readonly expected: number
  }[]
}

export type SimulationReport = {
  readonly seed: number
  readonly request: Omit<SimulationRequest, 'seed' | 'detail' | 'limit' | 'userBudget'> & {
    readonly userBudget: string
  }
  readonly swarm: string
  readonly quorum: number
  /** Byzantine validators that the set survives. */
  readonly faultyMax: number
  readonly virtualMs: number
  readonly jobs: {
    readonly submitted: number
    readonly admitted: number
    readonly settled: number
    readonly paid: number
    readonly refunded: number
    readonly refused: number
    readonly refundsByReason: Counts
    readonly refusalsByReason: Counts
  }
  readonly outputs: {
    /** Answers by the kind of the worker that gave the chosen one. */
    readonly chosen: Counts
    /** Of the liars' among them, by what their settlements claim. */
    readonly liarsChosenByAssurance: Counts
    /** Kind of worker, then verdict. */
    readonly verdicts: Readonly<Record<string, Counts>>
    readonly lostByReason: Counts
  }
  readonly balances: {
    readonly users: { readonly total: string; readonly held: string; readonly each: readonly string[] }
    readonly workers: readonly KindBalance[]
    readonly validators: { readonly total: string; readonly each: readonly string[] }
    readonly platform: string
    readonly mint: string
    readonly sum: string
    readonly zeroSum: boolean
  }
  readonly draw: {
    readonly jobs: number
    readonly bins: number
    readonly chiSquare: number
    readonly degrees: number
    /** Chance of a draw at least this uneven when everybody is drawn by weight. */
    readonly pValue: number
  } | null
  readonly latencyMs: { readonly paid: Quantiles; readonly refunded: Quantiles }
  readonly counts: {
    readonly messages: number
    readonly lost: number
    readonly offers: Counts
    readonly votes: number
    readonly byzantineVotes: number
    /** Pairs of votes that prove a validator signed twice. */
    readonly evidence: number
    readonly certificates: Counts
    readonly entries: Counts
    readonly retries: number
    /** Ed25519 signatures made. All roles share one process, which verifies a signature once and not again for each role. */
    readonly signatures: number
  }
  readonly violations: readonly Violation[]
  readonly violationsLeftOut: number
  readonly log: { readonly entries: number; readonly head: string }
  readonly series: SimulationSeries
  /** Absent in a summary. */
  readonly list?: { readonly items: readonly SimulatedJob[]; readonly leftOut: number }
}

export type Simulated = {
  readonly report: SimulationReport
  /** The same as a picture. */
  readonly svg: string
}

/** Runs one simulation at a time. */
export interface Simulator {
  /**
   * @throws FabricError CF_CONTROL_SIMULATION_BUSY while another one runs, CF_CONTROL_SIMULATION_DEADLINE after
   *         SIMULATION_LIMITS.wallMsMax; the signal's reason when it aborts first
   */
  simulate(request: SimulationRequest, signal: AbortSignal): Promise<Simulated>
}
