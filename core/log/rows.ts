/** The state's rows as bytes, for whatever store keeps them and for certified snapshots: the same on every node. */
import {
  type BodyOf,
  bytesMax,
  code,
  defineBody,
  digest,
  flag,
  i64,
  list,
  peer,
  record,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { parseJobId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import type { Account } from '../ledger/account.ts'
import { LEDGER_LIMITS } from '../ledger/bounds.ts'
import { OUTCOMES, ZERO_DIGEST } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'
import { validatorSet } from '../quorum/validators.ts'
import { DISPUTE_CLAIMS, DISPUTE_OUTCOMES } from '../verification/dispute.ts'
import { findingCodec } from '../verification/finding.ts'
import { policyTableCodec } from '../verification/policy-table.ts'
import type { EpochStart } from './epochs.ts'
import type { Standing } from './standing.ts'
import type { KeyUse, LoggedJob, LogState, Policy, Scalars } from './state.ts'
import { setScalars } from './state.ts'

/** Both directions of one kind of row. Decoding asserts: what it reads, this node wrote or a quorum certified. */
export type RowCodec<V> = { encode(value: V): Uint8Array; decode(bytes: Uint8Array): V }

const accountBody = defineBody(
  'account-row',
  {
    balance: i64(),
    held: i64(),
    vesting: list(record({ amount: i64(), vestsAtMs: u64() }), LEDGER_LIMITS.vestingEntryCountMax),
  },
  1_024,
)
export const accountRow: RowCodec<Account> = {
  encode: (account) => accountBody.encode(account),
  decode: (bytes) => opened(accountBody.decode(bytes)),
}

const keyUseBody = defineBody('key-use-row', { content: digest(), entryHash: digest() }, 128)
export const keyUseRow: RowCodec<KeyUse> = {
  encode: (use) => keyUseBody.encode(use),
  decode: (bytes) => opened(keyUseBody.decode(bytes)),
}

const settlement = record({
  outcome: code(OUTCOMES),
  reason: text(64),
  chosen: u8(),
  authority: code(['certificate', 'expiry']),
  cost: i64(),
  refund: i64(),
  entryHash: digest(),
  settledMs: u64(),
})
const UNDECIDED = 'open' as const
const dispute = record({
  hash: digest(),
  opener: peer(),
  payer: code(['user', 'node']),
  replica: u8(),
  claim: code(DISPUTE_CLAIMS),
  bond: i64(),
  openedMs: u64(),
  outcome: code([UNDECIDED, ...DISPUTE_OUTCOMES]),
})
const jobBody = defineBody(
  'job-row',
  {
    id: digest(),
    user: peer(),
    edge: peer(),
    intentBody: bytesMax(LIMITS.intentBytesMax),
    holdAmount: i64(),
    holdLeft: i64(),
    holdHash: digest(),
    holdIndex: u64(),
    holdMs: u64(),
    epoch: u64(),
    deadlineMs: u64(),
    phase: code(['held', 'assigned', 'settled']),
    attempt: u32(),
    workers: list(peer(), LIMITS.replicaCountMax),
    assignmentHash: digest(),
    findings: list(bytesMax(findingCodec.bytesMax), LIMITS.replicaCountMax),
    /** None or one. */
    settlement: list(settlement, 1),
    correctionCount: u16(),
    policyId: digest(),
    auditPermille: list(u16(), LIMITS.replicaCountMax),
    disputes: list(dispute, LIMITS.disputesPerJobMax),
  },
  8_192,
)
export const jobRow: RowCodec<LoggedJob> = {
  encode: (job) => jobBody.encode(jobToBody(job)),
  decode: (bytes) => jobFromBody(opened(jobBody.decode(bytes))),
}

function jobToBody(job: LoggedJob): BodyOf<typeof jobBody> {
  const findings = job.findings.map((finding) => findingCodec.encode(finding))
  const disputes = job.disputes.map((one) => ({ ...one, outcome: one.outcome ?? UNDECIDED }))
  return { ...job, findings, disputes, settlement: job.settlement === null ? [] : [job.settlement] }
}

function jobFromBody(body: BodyOf<typeof jobBody>): LoggedJob {
  const id = parseJobId(body.id)
  invariant(id !== undefined, 'a digest is a job id')
  const findings = body.findings.map((bytes) => opened(findingCodec.decode(bytes)))
  const disputes = body.disputes.map((one) => ({ ...one, outcome: one.outcome === UNDECIDED ? null : one.outcome }))
  return { ...body, id, findings, disputes, settlement: body.settlement[0] ?? null }
}

const standingBody = defineBody(
  'standing-row',
  {
    owner: digest(),
    /** None or one. */
    user: list(peer(), 1),
    joinedEpoch: u64(),
    base: u8(),
    passed: u32(),
    failed: u32(),
    lost: u32(),
    forfeits: u32(),
    equivocated: flag(),
    settled: record({ epoch: u64(), weight: u8(), barred: flag() }),
    good: u32(),
    bad: u32(),
    watch: u8(),
    evidenceMicro: u32(),
    outvoted: u32(),
  },
  256,
)
export const standingRow: RowCodec<Standing> = {
  encode: (standing) => standingBody.encode({ ...standing, user: standing.user === null ? [] : [standing.user] }),
  decode(bytes) {
    const body = opened(standingBody.decode(bytes))
    return { ...body, user: body.user[0] ?? null }
  },
}

const policyBody = defineBody('policy-row', { id: digest(), body: bytesMax(policyTableCodec.bytesMax) }, 1_024)
export const policyRow: RowCodec<Policy> = {
  encode: (policy) => policyBody.encode(policy),
  decode: (bytes) => opened(policyBody.decode(bytes)),
}

const epochBody = defineBody(
  'epoch-row',
  {
    epoch: u64(),
    beacon: digest(),
    rosterRoot: digest(),
    startedMs: u64(),
    startedIndex: u64(),
    proof: record({ roster: bytesMax(LIMITS.entryBytesMax), beacon: bytesMax(LIMITS.entryBytesMax) }),
  },
  2_304,
)
export const epochRow: RowCodec<EpochStart> = {
  encode: (start) => epochBody.encode(start),
  decode: (bytes) => opened(epochBody.decode(bytes)),
}

const scalarsBody = defineBody(
  'scalars-row',
  {
    head: record({ index: i64(), hash: digest(), timeMs: u64() }),
    epoch: u64(),
    beacon: digest(),
    rosterRoot: digest(),
    /** None or one. */
    nextRoster: list(
      record({ root: digest(), commits: digest(), loggedMs: u64(), body: bytesMax(LIMITS.entryBytesMax) }),
      1,
    ),
    validators: record({ epoch: u64(), keys: list(peer(), LIMITS.validatorCountMax), quorum: u16() }),
    hasSnapshot: flag(),
    snapshot: record({ index: u64(), digest: digest() }),
  },
  3_072,
)
export const scalarsRow: RowCodec<Scalars> = {
  encode(scalars) {
    const { head, epoch, beacon, rosterRoot, validators, snapshot } = scalars
    const nextRoster = scalars.nextRoster === null ? [] : [scalars.nextRoster]
    const hasSnapshot = snapshot !== null
    const kept = snapshot ?? { index: 0n, digest: ZERO_DIGEST }
    return scalarsBody.encode({
      head,
      epoch,
      beacon,
      rosterRoot,
      nextRoster,
      validators,
      hasSnapshot,
      snapshot: kept,
    })
  },
  decode(bytes) {
    const body = opened(scalarsBody.decode(bytes))
    const { epoch, keys, quorum } = body.validators
    const snapshot = body.hasSnapshot ? body.snapshot : null
    return { ...body, nextRoster: body.nextRoster[0] ?? null, snapshot, validators: validatorSet(epoch, keys, quorum) }
  },
}

/** Puts a state that reads its rows from a store where that store left off. */
export function restoreScalars(state: LogState, bytes: Uint8Array): void {
  setScalars(state, scalarsRow.decode(bytes))
}

function opened<T>(
  validation: { readonly action: 'accept'; readonly value: T } | { readonly action: 'reject' | 'ignore' },
): T {
  invariant(validation.action === 'accept', 'a row of our own decodes')
  return validation.value
}
