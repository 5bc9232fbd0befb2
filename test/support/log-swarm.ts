/** A small swarm with every key at hand: makes signed, certified entry bodies and applies them to one state. */

import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type AccountId, type Digest, type JobId, type PeerId, userAccount } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { DEFAULT_PRICES } from '../../core/ledger/pricing.ts'
import { CHOSEN_NONE, settlementCodec, ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import { type Applied, applyEntry, buildEntry, type Refused } from '../../core/log/apply.ts'
import { assignmentBody } from '../../core/log/apply-job.ts'
import { assignmentCodec } from '../../core/log/assignment.ts'
import { abstainersOf, numberedSubject, statementOf } from '../../core/log/authority.ts'
import {
  type DirectBody,
  type Dispute,
  disputeCodec,
  genesisEntryCodec,
  holdBody,
  mintCodec,
  transferCodec,
} from '../../core/log/bodies.ts'
import {
  type AssignmentEntry,
  assignmentEntryCodec,
  beaconEntryCodec,
  type Correction,
  correctionCodec,
  correctionEntryCodec,
  resultEntryCodec,
  rosterEntryCodec,
  type SettlementEntry,
  settlementEntryCodec,
} from '../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { beaconDigest, rosterDigest } from '../../core/log/epochs.ts'
import { DEFAULT_POLICY, type Genesis, type GenesisBody, makeGenesis } from '../../core/log/genesis.ts'
import { seedsCommitmentOf } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, NEUTRAL } from '../../core/log/intent.ts'
import { rulingOf } from '../../core/log/ruling.ts'
import { settlementOf } from '../../core/log/settling.ts'
import { createState, type LoggedJob, type LogState } from '../../core/log/state.ts'
import { type CompactCertificate, certify, compactOf } from '../../core/quorum/certificate.ts'
import { castVote, type Statement, type VoteKind } from '../../core/quorum/vote.ts'
import type { DisputeOutcome } from '../../core/verification/dispute.ts'
import { type Finding, findingCodec } from '../../core/verification/finding.ts'
import { EXACT_V1 } from '../../core/verification/policy.ts'
import { digestNamed, keyNamed, memberNamed, validatorKeys } from './people.ts'
import { sharedSeeds } from './seeds.ts'

export const REGION = 'home'
export const START_MS = 1_000_000n
export const MINT_KEY = keyNamed('mint')
export const ALICE = keyNamed('alice')
export const BOB = keyNamed('bob')
export const NO_SIGNATURES: CompactCertificate = { bitmap: 0, signatures: new Uint8Array() }
/** What Alice starts with: 1,000 credits. */
export const STARTER = 1_000_000_000n

export function genesisBody(parts: Partial<GenesisBody> = {}): GenesisBody {
  const names = ['v0', 'v1', 'v2', 'v3', 'w0', 'w1', 'w2', 'w3', 'w4']
  return {
    name: 'test',
    region: REGION,
    createdMs: START_MS,
    log: 'sqlite',
    local: false,
    validators: validatorKeys(4).map((key) => key.peer),
    mintKeys: [MINT_KEY.peer],
    members: names.map((name) => memberNamed(name)),
    prices: DEFAULT_PRICES,
    policy: DEFAULT_POLICY,
    starters: [{ user: ALICE.peer, amount: STARTER }],
    beacon: digestNamed('beacon 0'),
    ...parts,
  }
}

const REPLICAS = 3

/** Its replicas have one seed, unless `parts` says otherwise. */
export function intentOfAlice(parts: Partial<Intent> = {}): Intent {
  return {
    payloadCommitment: digestNamed('payload'),
    seedsCommitment: seedsCommitmentOf(sharedSeeds(parts.replicas ?? REPLICAS)),
    task: 'chat',
    modelDigest: digestNamed('model'),
    modelMegaParams: 3,
    templateDigest: digestNamed('template'),
    sampling: { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40, ...NEUTRAL },
    stop: [],
    promptTokens: 16,
    maxTokens: 256,
    replicas: REPLICAS,
    verify: 'after',
    region: REGION,
    maxBudget: 10_000_000n,
    nonce: 1n,
    expiresMs: START_MS + 60_000n,
    speedTarget: 0,
    ...parts,
  }
}

export class LogSwarm {
  readonly genesis: Genesis
  readonly state: LogState
  /** Keys of the current set, in its order; tests that change the set change these. */
  validators: readonly KeyPair[] = validatorKeys(4)
  nowMs = START_MS
  /** Every accepted entry, in order. */
  readonly entries: Uint8Array[] = []

  constructor(parts: Partial<GenesisBody> = {}, open = true) {
    this.genesis = makeGenesis(genesisBody(parts))
    this.state = createState(this.genesis)
    if (open) this.apply('genesis', genesisEntryCodec.encode({ swarmId: this.genesis.swarmId }))
  }

  apply(kind: EntryKind, body: Uint8Array): Applied | Refused {
    return this.applyBytes(buildEntry(this.state, kind, body, this.nowMs).bytes)
  }

  applyBytes(bytes: Uint8Array): Applied | Refused {
    const result = applyEntry(this.state, bytes)
    if (result.status === 'applied') this.entries.push(bytes)
    return result
  }

  balance(account: AccountId): bigint {
    return this.state.accounts.get(account)?.balance ?? 0n
  }

  held(user: PeerId): bigint {
    return this.state.accounts.get(userAccount(user))?.held ?? 0n
  }

  job(id: JobId): LoggedJob {
    const job = this.state.jobs.get(id)
    invariant(job !== undefined, 'the log knows the job')
    return job
  }

  mint(to: string, amount: bigint, idempotencyKey: string, key: KeyPair = MINT_KEY): Uint8Array {
    return sealAs(mintCodec, { to, amount, reason: 'test', idempotencyKey }, this.state.swarmId, key)
  }

  direct(parts: Pick<DirectBody, 'kind' | 'from' | 'to' | 'amount'> & Partial<DirectBody>, key: KeyPair): Uint8Array {
    const body = { reason: 'test', jobId: new Uint8Array(), idempotencyKey: 'key', ...parts }
    return sealAs(transferCodec, body, this.state.swarmId, key)
  }

  intent(parts: Partial<Intent> = {}, user: KeyPair = ALICE): Uint8Array {
    return sealAs(intentCodec, intentOfAlice(parts), this.state.swarmId, user)
  }

  /** Body of the entry that makes a job of an intent. */
  holdBody(parts: Partial<Intent> = {}, user: KeyPair = ALICE, edge: PeerId = keyNamed('edge').peer): Uint8Array {
    return holdBody(edge, this.intent(parts, user))
  }

  /** Holds an intent and gives its job. */
  hold(parts: Partial<Intent> = {}, user: KeyPair = ALICE): LoggedJob {
    const { jobId } = applied(this.apply('hold', this.holdBody(parts, user)))
    invariant(jobId !== null, 'a hold makes a job')
    return this.job(jobId)
  }

  /** The votes of the first validators that may sign, as many as make a quorum. */
  certificate(statement: Statement, abstaining: readonly PeerId[] = [], voters: readonly KeyPair[] = this.validators) {
    const willing = voters.filter((key) => !abstaining.includes(key.peer))
    const votes = willing.map((key) => castVote(this.state.swarmId, statement, key))
    return compactOf(certify(this.state.validators, votes))
  }

  assignment(job: LoggedJob, parts: Partial<AssignmentEntry> = {}): Uint8Array {
    const replicas = ['w0', 'w1', 'w2', 'w3', 'w4'].slice(0, intentReplicas(job))
    const value = {
      ...{ jobId: job.id, attempt: 0, workers: replicas.map((name) => keyNamed(name).peer) },
      ...{ answersDigest: digestNamed('answers'), commitByMs: job.holdMs + 1_000n, revealByMs: job.holdMs + 2_000n },
      ...{ overlapping: false, ...parts },
    }
    const digest = assignmentCodec.digest(this.state.swarmId, assignmentBody(this.state, job, value))
    const statement = statementOf(this.state, 'assignment', {
      subject: job.id,
      attempt: value.attempt,
      index: 0,
      digest,
    })
    return assignmentEntryCodec.encode({ ...this.certificate(statement), ...value })
  }

  finding(job: LoggedJob, replica: number, parts: Partial<Finding> = {}): Finding {
    const worker = job.workers[replica]
    invariant(worker !== undefined, 'the job has this replica')
    return {
      ...{ jobId: job.id, attempt: job.attempt, replica, worker, commitmentHash: digestNamed(`commitment ${replica}`) },
      ...{ tokensRoot: digestNamed('output'), tokenCount: 100, verdict: 'pass', methods: 3, reason: 'none', agree: 3 },
      ...{ policyId: EXACT_V1.id, auditsHash: ZERO_DIGEST, evidenceMicro: 0, auditors: [], outvoted: [] },
      tokensPerSecondMilli: 0,
      ...parts,
    }
  }

  result(job: LoggedJob, replica: number, parts: Partial<Finding> = {}): Uint8Array {
    const finding = findingCodec.encode(this.finding(job, replica, parts))
    const digest = findingCodec.digest(this.state.swarmId, finding)
    const statement = statementOf(this.state, 'finding', {
      subject: job.id,
      attempt: job.attempt,
      index: replica,
      digest,
    })
    const worker = job.workers[replica] ?? ALICE.peer
    return resultEntryCodec.encode({ finding, ...this.certificate(statement, abstainersOf(this.state, worker)) })
  }

  /** @param chosen  null to refund */
  settlement(
    job: LoggedJob,
    chosen: number | null,
    reason = 'output_rejected',
    parts: Partial<SettlementEntry> = {},
  ): Uint8Array {
    const settled = settlementOf(this.state, job, chosen, reason)
    invariant(settled.status === 'ok', 'the settlement follows from the state')
    const { body } = settled
    const digest = settlementCodec.digest(this.state.swarmId, settlementCodec.encode(body))
    const statement = statementOf(this.state, 'settlement', { subject: job.id, attempt: job.attempt, index: 0, digest })
    const claim = {
      jobId: job.id,
      attempt: body.attempt,
      outcome: body.outcome,
      reason: body.reason,
      chosen: body.chosen,
    }
    return settlementEntryCodec.encode({ ...claim, authority: 'certificate', ...this.certificate(statement), ...parts })
  }

  expiry(job: LoggedJob, parts: Partial<SettlementEntry> = {}): Uint8Array {
    const claim = { jobId: job.id, attempt: 0, outcome: 'refunded', reason: 'deadline', chosen: CHOSEN_NONE } as const
    return settlementEntryCodec.encode({ ...claim, authority: 'expiry', ...NO_SIGNATURES, ...parts })
  }

  correction(job: LoggedJob, legs: Correction['legs'], number = job.correctionCount): Uint8Array {
    const none = { dispute: ZERO_DIGEST, outcome: 'none', referees: [] } as const
    return this.certifiedCorrection({ jobId: job.id, number, reason: 'put right', legs, ...none })
  }

  certifiedCorrection(body: Correction, abstaining: readonly PeerId[] = []): Uint8Array {
    const correction = correctionCodec.encode(body)
    const digest = correctionCodec.digest(this.state.swarmId, correction)
    const parts = { subject: body.jobId, attempt: 0, index: body.number, digest }
    const statement = statementOf(this.state, 'correction', parts)
    return correctionEntryCodec.encode({ correction, attempt: 0, ...this.certificate(statement, abstaining) })
  }

  dispute(job: LoggedJob, opener: KeyPair, parts: Partial<Dispute> = {}): Uint8Array {
    const { id: jobId, attempt, disputes } = this.job(job.id)
    const body = { jobId, attempt, replica: 0, claim: 'reject', number: disputes.length, ...parts } as const
    return sealAs(disputeCodec, body, this.state.swarmId, opener)
  }

  /** Ends the last dispute of a job. */
  ruling(job: LoggedJob, outcome: DisputeOutcome, referees: readonly PeerId[] = []): Uint8Array {
    const now = this.job(job.id)
    const dispute = now.disputes.at(-1)
    const worker = now.workers[dispute?.replica ?? 0]
    invariant(dispute !== undefined && worker !== undefined, 'there is a dispute to end')
    return this.certifiedCorrection(rulingOf(now, dispute, outcome, referees), abstainersOf(this.state, worker))
  }

  /** The next epoch's roster entry. */
  roster(root: Digest, epoch = this.state.epoch + 1n, commits = digestNamed('commits')): Uint8Array {
    const digest = rosterDigest(this.state.swarmId, epoch, root, commits)
    return rosterEntryCodec.encode({ epoch, root, commits, attempt: 0, ...this.numbered('roster', epoch, digest) })
  }

  /** The next epoch's beacon entry. */
  beacon(beacon: Digest, epoch = this.state.epoch + 1n, forfeits = 0): Uint8Array {
    const digest = beaconDigest(this.state.swarmId, epoch, beacon, forfeits)
    return beaconEntryCodec.encode({ epoch, beacon, forfeits, attempt: 0, ...this.numbered('beacon', epoch, digest) })
  }

  /** Certificate for what is numbered and not a job. */
  numbered(kind: VoteKind, number: bigint, digest: Statement['digest']): CompactCertificate {
    const parts = { subject: numberedSubject(this.state, kind, number), attempt: 0, index: 0, digest }
    return this.certificate(statementOf(this.state, kind, parts))
  }

  /** Hold, assignment and one finding a replica. */
  judged(parts: Partial<Intent> = {}, findings: readonly Partial<Finding>[] = [], user: KeyPair = ALICE): LoggedJob {
    const held = this.hold(parts, user)
    applied(this.apply('assignment', this.assignment(held)))
    const job = this.job(held.id)
    for (const [replica] of job.workers.entries())
      applied(this.apply('result', this.result(job, replica, findings[replica])))
    return this.job(job.id)
  }
}

export function applied(result: Applied | Refused): Applied {
  invariant(result.status === 'applied', `applied, not ${result.status === 'refused' ? result.reason : ''}`)
  return result
}

function intentReplicas(job: LoggedJob): number {
  const decoded = intentCodec.decode(job.intentBody)
  invariant(decoded.action === 'accept', 'a logged intent decodes')
  return decoded.value.replicas
}
