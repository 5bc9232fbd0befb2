/** What one job is in each of its phases: a wrong combination of fields does not compile. */
import type { Digest, JobId, PeerId, UserId } from '../ids.ts'
import type { Intent } from '../log/intent.ts'
import type { CompactCertificate } from '../quorum/certificate.ts'
import type { Closeness } from './choice.ts'

/** Top to bottom; no row of the transition table names a phase above itself. */
export const PHASES = [
  'admitted',
  'proposed',
  'assigned',
  'executing',
  'committed',
  'revealed',
  'audited',
  'verified',
  'disputed',
  'failed',
  'settled',
] as const
export type Phase = (typeof PHASES)[number]

export type FailureReason = 'no_workers' | 'all_replicas_lost' | 'cancelled' | 'deadline' | 'output_rejected'

/** The hold's log entry: rebuilt from these fields, its hash proves what the draw depended on. */
export type HoldRecord = {
  readonly edge: PeerId
  readonly hash: Digest
  readonly index: bigint
  readonly previous: Digest
  readonly timeMs: bigint
  readonly deadlineMs: bigint
  readonly amount: bigint
}

export type Draw = {
  readonly epoch: bigint
  readonly rosterRoot: Digest
  readonly beacon: Digest
  /** R + spares in rank order. */
  readonly ranked: readonly PeerId[]
}

export type AnswerRecord = {
  readonly peer: PeerId
  /** `silent` has no envelope: nobody signed it, and it counts as busy. */
  readonly answer: 'accept' | 'busy' | 'silent'
  readonly envelope: Uint8Array
}

/** Where one replica stands. Its index is its worker's place in the assignment. */
export type Replica =
  | { readonly state: 'running'; readonly worker: PeerId }
  | { readonly state: 'lost'; readonly worker: PeerId; readonly reason: string }
  | { readonly state: 'committed'; readonly worker: PeerId; readonly commitment: Uint8Array }
  | {
      readonly state: 'revealed'
      readonly worker: PeerId
      readonly commitment: Uint8Array
      readonly reveal: Uint8Array
      /** Envelopes of its stream's witnesses; none where the intent pays nothing for speed. */
      readonly timelines: readonly Uint8Array[]
    }

/** A certified finding: the body that Q validators signed. */
export type Certified = { readonly body: Uint8Array; readonly certificate: CompactCertificate }

type Base = {
  readonly id: JobId
  readonly swarmId: Digest
  readonly user: UserId
  readonly intent: Intent
  readonly intentEnvelope: Uint8Array
  readonly hold: HoldRecord
  readonly draw: Draw
  readonly attempt: number
  readonly timing: Timing
  readonly answers: readonly AnswerRecord[]
  readonly earlier: Earlier | null
}

/** The last attempt that worked and came to nothing: what the log, and so a receipt, says of the job until a later one is logged. */
export type Earlier = {
  readonly attempt: number
  readonly answers: readonly AnswerRecord[]
  readonly assignment: Uint8Array
  readonly certificate: CompactCertificate
  readonly replicas: readonly Replica[]
}

/** Milliseconds that the swarm's genesis allows for each step, and how often a job may be drawn. */
export type Timing = {
  readonly attemptsMax: number
  /** Validators witness what was committed to before anybody reveals it, and outputs are audited. */
  readonly witnessed: boolean
  readonly answerMs: number
  readonly commitMs: number
  readonly revealMs: number
  readonly validators: readonly PeerId[]
}

/** What replicas had bound themselves to when nothing could be added any more, and a quorum's word on it. */
export type CommitSet = {
  /** In order of replica; empty bytes for one that was lost before. */
  readonly commitments: readonly Uint8Array[]
  readonly certificate: CompactCertificate | null
}

/** What auditors reported of one class of equal outputs. */
export type ClassAudit = {
  /** Index of its lowest replica. */
  readonly first: number
  /** Envelopes `audit` in the order of the auditors' ranks; empty when none of them gave one. */
  readonly reports: readonly Uint8Array[]
}

type WithAssignment = Base & { readonly assignment: Uint8Array }
type WithCertificate = WithAssignment & { readonly certificate: CompactCertificate }
type WithReplicas = WithCertificate & {
  readonly replicas: readonly Replica[]
  /** Index of the replica whose tokens the client sees, or null before the first token and in `before` mode. */
  readonly streamed: number | null
  /** The edge's sealed `stop`, empty bytes when nobody asked. */
  readonly stop: Uint8Array
  /** The edge's signed account of the stream, empty bytes when nothing was streamed. */
  readonly delivery: Uint8Array
}
type WithCommits = WithReplicas & {
  /** Null for a job that nobody witnesses. */
  readonly commitSet: CommitSet | null
}
type WithAudits = WithCommits & { readonly audits: readonly ClassAudit[] }
type WithFindings = WithAudits & {
  readonly findings: readonly Certified[]
  readonly chosen: number | null
  /** What the choice among several answers rests on; null where there was none to make. */
  readonly closeness: Closeness | null
  readonly resultsLogged: boolean
}

export type AdmittedJob = Base & { readonly phase: 'admitted' }
export type ProposedJob = WithAssignment & { readonly phase: 'proposed' }
export type AssignedJob = WithCertificate & { readonly phase: 'assigned' }
export type ExecutingJob = WithReplicas & { readonly phase: 'executing' }
export type CommittedJob = WithCommits & { readonly phase: 'committed' }
export type RevealedJob = WithCommits & { readonly phase: 'revealed' }
export type AuditedJob = WithAudits & { readonly phase: 'audited' }
export type VerifiedJob = WithFindings & { readonly phase: 'verified'; readonly settlement: Certified | null }
export type DisputedJob = WithFindings & { readonly phase: 'disputed'; readonly settlement: Certified | null }
export type FailedJob = Base & {
  readonly phase: 'failed'
  readonly reason: FailureReason
  /** What had been certified before it failed, for the receipt. */
  readonly assignment: Uint8Array
  readonly certificate: CompactCertificate | null
  readonly replicas: readonly Replica[]
  readonly commitSet: CommitSet | null
  readonly audits: readonly ClassAudit[]
  readonly findings: readonly Certified[]
  /** Index of the replica that had been chosen: a payment may be in the log before this edge hears of it. */
  readonly chosen: number | null
  readonly delivery: Uint8Array
  readonly settlement: Certified | null
  /** Log time has passed the hold's deadline: the refund needs no vote any more. */
  readonly expired: boolean
}
export type SettledJob = Omit<FailedJob, 'phase' | 'reason' | 'expired' | 'settlement'> & {
  readonly phase: 'settled'
  readonly outcome: 'paid' | 'refunded'
  readonly reason: string
  /** The full settlement body; the certificate is null when it was a refund by expiry. */
  readonly settlement: { readonly body: Uint8Array; readonly certificate: CompactCertificate | null }
}

export type Job =
  | AdmittedJob
  | ProposedJob
  | AssignedJob
  | ExecutingJob
  | CommittedJob
  | RevealedJob
  | AuditedJob
  | VerifiedJob
  | DisputedJob
  | FailedJob
  | SettledJob

export type JobEvent =
  | {
      readonly type: 'answered'
      readonly peer: PeerId
      readonly answer: 'accept' | 'busy'
      readonly envelope: Uint8Array
      readonly nowMs: number
    }
  | { readonly type: 'silent'; readonly peer: PeerId; readonly nowMs: number }
  | { readonly type: 'assignment-certified'; readonly certificate: CompactCertificate }
  | { readonly type: 'assignment-logged' }
  | { readonly type: 'streaming'; readonly replica: number }
  | { readonly type: 'committed'; readonly replica: number; readonly commitment: Uint8Array }
  | {
      readonly type: 'lost'
      readonly replica: number
      readonly reason: string
      /** The client has read tokens of it that no other replica goes on from: only another attempt can. */
      readonly stranded?: boolean
    }
  | { readonly type: 'delivered'; readonly delivery: Uint8Array }
  | {
      readonly type: 'revealed'
      readonly replica: number
      readonly reveal: Uint8Array
      readonly timelines?: readonly Uint8Array[]
    }
  | { readonly type: 'commit-set-certified'; readonly certificate: CompactCertificate }
  | { readonly type: 'audited'; readonly audits: readonly ClassAudit[] }
  | { readonly type: 'found'; readonly findings: readonly Certified[]; readonly closeness?: Closeness }
  | { readonly type: 'results-logged' }
  /** Findings of a disjoint quorum that replace the first ones. */
  | { readonly type: 'disputed'; readonly findings: readonly Certified[] }
  | { readonly type: 'settlement-certified'; readonly settlement: Certified }
  | {
      readonly type: 'settlement-logged'
      readonly outcome: 'paid' | 'refunded'
      readonly body: Uint8Array
      readonly certificate: CompactCertificate | null
    }
  | { readonly type: 'cancel' }
  /** The edge asked running workers to stop early; its signed word makes their unfinished outputs legal. */
  | { readonly type: 'stopped'; readonly stop: Uint8Array }
  | { readonly type: 'tick'; readonly nowMs: number }

/** Work that the state owes; each is safe to repeat. */
export type Effect =
  | { readonly type: 'offer'; readonly peer: PeerId }
  | { readonly type: 'vote-assignment' }
  | { readonly type: 'log-assignment' }
  | { readonly type: 'execute'; readonly replica: number; readonly worker: PeerId }
  | { readonly type: 'vote-commit-set' }
  | { readonly type: 'reveal'; readonly replica: number; readonly worker: PeerId }
  | { readonly type: 'audit' }
  | { readonly type: 'vote-findings' }
  | { readonly type: 'log-results' }
  | { readonly type: 'vote-settlement' }
  | { readonly type: 'log-settlement' }
  | { readonly type: 'expire' }

/** Names an effect within one attempt of its job: the driver runs one of each at a time. */
export function effectKey(effect: Effect): string {
  if (effect.type === 'offer') return `offer/${effect.peer}`
  return 'replica' in effect ? `${effect.type}/${effect.replica}` : effect.type
}
