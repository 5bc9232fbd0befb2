/**
 * Verifies a receipt with nothing but the file and a trusted root: no daemon, no network, no clock.
 * The swarm's genesis travels in the file; its hash is the root, and every key that signs is in it.
 */
import { equalBytes, idsFromBytes } from '../codec/bytes.ts'
import { decodeWire } from '../codec/canonical.ts'
import { openAs } from '../identity/envelope.ts'
import { type Digest, digestOf, type PeerId, type SwarmId } from '../ids.ts'
import type { Latency } from '../latency/timeline.ts'
import { CHOSEN_NONE, type SettlementBody, settlementCodec } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'
import { assignmentCodec } from '../log/assignment.ts'
import { abstainersOf, statementOf } from '../log/authority.ts'
import { holdBody } from '../log/bodies.ts'
import { entryCodec, entryHash } from '../log/entry.ts'
import { parseGenesis } from '../log/genesis.ts'
import { type Intent, intentCodec, intentFault, jobIdOf } from '../log/intent.ts'
import { expiryOf, intentOf, settlementOf } from '../log/settling.ts'
import { createState, type LoggedJob, type LogState } from '../log/state.ts'
import { type CompactCertificate, checkCertificate } from '../quorum/certificate.ts'
import type { Statement } from '../quorum/vote.ts'
import { ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { accept, reject, type Validation } from '../validation.ts'
import {
  type Commitment,
  commitmentCodec,
  commitmentHash,
  outputCommit,
  type Reveal,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../verification/commitment.ts'
import { type Finding, findingCodec, METHOD } from '../verification/finding.ts'
import { policyFor } from '../verification/policy.ts'
import { isAuditable } from '../verification/replayable.ts'
import { chainShown } from '../verification/structure.ts'
import { vectorFault } from '../verification/vectors.ts'
import { type CheckedAssignment, checkAssignment } from './assignment.ts'
import { type CheckedEpoch, checkEpochPart } from './epoch.ts'
import { type Delivery, deliveryCodec, type Receipt, receiptCodec, receiptFileCodec } from './receipt.ts'
import { checkSpeed } from './speed.ts'

export type ReceiptFacts = {
  readonly swarmId: SwarmId
  readonly swarmName: string
  readonly jobId: Digest
  readonly user: PeerId
  readonly edge: PeerId
  readonly intent: Intent
  readonly validators: readonly PeerId[]
  readonly quorum: number
  readonly assignment: CheckedAssignment | undefined
  readonly commitments: readonly (Commitment | undefined)[]
  readonly delivery: Delivery | undefined
  /** Absent without a delivery. */
  readonly latency: Latency | undefined
  readonly findings: readonly Finding[]
  readonly settlement: SettlementBody
  readonly authority: 'certificate' | 'expiry'
  readonly output: Reveal | undefined
  readonly receiptBytes: number
}

export type ReceiptVerdict =
  | { readonly status: 'valid'; readonly facts: ReceiptFacts }
  | { readonly status: 'invalid'; readonly where: string; readonly reason: string }
  /** Everything fits together, but the swarm is not one that the verifier trusts. */
  | { readonly status: 'unknown_root'; readonly swarm: SwarmId; readonly facts: ReceiptFacts }

export type ReceiptTrust = {
  readonly roots: ReadonlySet<string>
  /** By root: with the roster of its epoch a job's draw is repeated, without it the certificate is all there is. */
  readonly rosters?: ReadonlyMap<string, RosterSnapshot>
}

const NO_ROSTERS: ReadonlyMap<string, RosterSnapshot> = new Map()

/** @param bytes  untrusted; the whole file */
export function verifyReceiptFile(bytes: Uint8Array, trust: ReceiptTrust): ReceiptVerdict {
  const checked = checkFile(bytes, trust)
  if (checked.action !== 'accept') {
    const where = checked.action === 'reject' ? (checked.where ?? 'file') : 'file'
    return { status: 'invalid', where, reason: checked.reason }
  }
  const facts = checked.value
  return trust.roots.has(facts.swarmId)
    ? { status: 'valid', facts }
    : { status: 'unknown_root', swarm: facts.swarmId, facts }
}

function checkFile(bytes: Uint8Array, trust: ReceiptTrust): Validation<ReceiptFacts> {
  const file = at('file', receiptFileCodec.decode(bodyOf(bytes)))
  if (file.action !== 'accept') return file
  const decoded = at('receipt', receiptCodec.decode(file.value.receipt))
  if (decoded.action !== 'accept') return decoded
  const receipt = decoded.value
  const genesis = at('genesis', parseGenesis(receipt.genesis))
  if (genesis.action !== 'accept') return genesis
  const { swarmId } = genesis.value
  const state = createState(genesis.value)
  // Another genesis makes another swarm, in which the user never signed: then the genesis is what was changed.
  const opened = at(
    trust.roots.has(swarmId) ? 'intent' : 'genesis or intent',
    openAs(intentCodec, receipt.intent, swarmId),
  )
  if (opened.action !== 'accept') return opened
  const { value: intent, signer: user, body: intentBody } = opened.value
  if (intentFault(intent) !== undefined) return reject('body_malformed', 'intent')
  const epoch = checkEpochPart(state, receipt.epoch, trust.rosters ?? NO_ROSTERS)
  if (epoch.action !== 'accept') return epoch
  const job = loggedJob(state, intentBody, user, receipt)
  return checkParts({ receipt, state, epoch: epoch.value, intent, job, output: file.value.output, file: bytes })
}

type Parts = {
  readonly receipt: Receipt
  readonly state: LogState
  readonly epoch: CheckedEpoch
  readonly intent: Intent
  readonly job: LoggedJob
  readonly output: Uint8Array
  readonly file: Uint8Array
}

function checkParts(parts: Parts): Validation<ReceiptFacts> {
  const { receipt, state, epoch, intent, output, file } = parts
  const assignment = checkAssignment(state, parts.job, intent, receipt.assignment, epoch)
  if (assignment.action !== 'accept') return assignment
  const job =
    assignment.value === undefined
      ? parts.job
      : { ...parts.job, workers: assignment.value.workers, assignmentHash: assignment.value.hash }
  const commitments = checkCommitments(state, job, receipt)
  if (commitments.action !== 'accept') return commitments
  const findings = checkFindings(state, job, intent, receipt, commitments.value)
  if (findings.action !== 'accept') return findings
  const settlement = checkSettlement(state, { ...job, findings: findings.value }, receipt)
  if (settlement.action !== 'accept') return settlement
  const revealed = checkOutput(state, settlement.value, job, commitments.value, output)
  if (revealed.action !== 'accept') return revealed
  const seal = at('seal', openAs(receiptFileCodec, file, state.swarmId))
  if (seal.action !== 'accept') return seal
  const { edge } = job
  if (seal.value.signer !== edge || !isEdge(epoch, edge)) return reject('signer_mismatch', 'seal')
  const delivery = checkDelivery(state, job, receipt, edge)
  if (delivery.action !== 'accept') return delivery
  const chainHeads = commitments.value.map((opened) => opened?.value.chainHead)
  const latency = delivery.value === undefined ? accept(undefined) : checkSpeed(state, job, delivery.value, chainHeads)
  if (latency.action !== 'accept') return at('execution.delivery.witnesses', latency)
  return accept({
    ...{ swarmId: state.swarmId, swarmName: state.genesis.name, jobId: job.id, user: job.user, edge, intent },
    ...{ validators: state.validators.keys, quorum: state.validators.quorum, assignment: assignment.value },
    ...{
      commitments: commitments.value.map((opened) => opened?.value),
      delivery: delivery.value,
      latency: latency.value,
      findings: findings.value,
    },
    ...{ settlement: settlement.value, authority: receipt.settlement.authority, output: revealed.value },
    receiptBytes: receiptCodec.encode(receipt).length,
  })
}

type OpenedCommitment = { readonly value: Commitment; readonly body: Uint8Array }

function checkCommitments(
  state: LogState,
  job: LoggedJob,
  receipt: Receipt,
): Validation<readonly (OpenedCommitment | undefined)[]> {
  const opened: (OpenedCommitment | undefined)[] = []
  if (receipt.execution.commitments.length > job.workers.length)
    return reject('body_malformed', 'execution.commitments')
  for (const [replica, envelope] of receipt.execution.commitments.entries()) {
    const where = `execution.commitments[${replica}]`
    if (envelope.length === 0) {
      opened.push(undefined)
      continue
    }
    const commitment = at(where, openAs(commitmentCodec, envelope, state.swarmId))
    if (commitment.action !== 'accept') return commitment
    const { value, signer, body } = commitment.value
    if (signer !== job.workers[replica]) return reject('signer_mismatch', where)
    const placed =
      value.jobId === job.id &&
      value.attempt === job.attempt &&
      value.replica === replica &&
      value.assignmentHash === job.assignmentHash
    if (!placed) return reject('commitment_mismatch', where)
    opened.push({ value, body })
  }
  return accept(opened)
}

function checkFindings(
  state: LogState,
  job: LoggedJob,
  intent: Intent,
  receipt: Receipt,
  commitments: readonly (OpenedCommitment | undefined)[],
): Validation<readonly Finding[]> {
  const unaudited = policyFor(intent.task === 'embedding' ? 'vectors' : 'tokens').id
  const findings: Finding[] = []
  if (receipt.verification.length > job.workers.length) return reject('body_malformed', 'verification')
  for (const [replica, part] of receipt.verification.entries()) {
    const where = `verification[${replica}]`
    const finding = at(`${where}.finding`, findingCodec.decode(part.finding))
    if (finding.action !== 'accept') return finding
    const { value } = finding
    const placed =
      value.jobId === job.id &&
      value.attempt === job.attempt &&
      value.replica === replica &&
      value.worker === job.workers[replica]
    const made = commitments[replica]
    const hash = made === undefined ? NO_DIGEST : commitmentHash(state.swarmId, made.body)
    if (!placed || value.commitmentHash !== hash) return reject('commitment_mismatch', `${where}.finding`)
    const isCalibrated = value.policyId !== unaudited
    const isSamePolicy = value.policyId === (findings[0]?.policyId ?? value.policyId)
    const isAudited = (value.methods & METHOD.prefill) !== 0
    const mayBe = isAuditable(intent) && !state.genesis.local
    if (!isSamePolicy || (isCalibrated && !mayBe) || (isAudited && !isCalibrated))
      return reject('proposal_mismatch', `${where}.finding`)
    const digest = findingCodec.digest(state.swarmId, part.finding)
    const statement = statementOf(state, 'finding', { subject: job.id, attempt: job.attempt, index: replica, digest })
    const signed = certified(state, statement, part, where, abstainersOf(state, value.worker))
    if (signed.action !== 'accept') return signed
    findings.push(value)
  }
  return accept(findings)
}

/** The body must be the one that follows from the findings and the genesis prices: a quorum could not have signed another one. */
function checkSettlement(state: LogState, job: LoggedJob, receipt: Receipt): Validation<SettlementBody> {
  const { body, authority, bitmap, signatures } = receipt.settlement
  const decoded = at('settlement.body', settlementCodec.decode(body))
  if (decoded.action !== 'accept') return decoded
  const claimed = decoded.value
  if (authority === 'expiry') {
    const due = settlementCodec.encode(expiryOf(state, job))
    return equalBytes(due, body) && bitmap === 0 && signatures.length === 0
      ? decoded
      : reject('proposal_mismatch', 'settlement')
  }
  const due = settlementOf(state, job, claimed.chosen === CHOSEN_NONE ? null : claimed.chosen, claimed.reason)
  if (due.status !== 'ok' || !equalBytes(settlementCodec.encode(due.body), body))
    return reject('proposal_mismatch', 'settlement.body')
  const digest = settlementCodec.digest(state.swarmId, body)
  const statement = statementOf(state, 'settlement', { subject: job.id, attempt: job.attempt, index: 0, digest })
  const signed = certified(state, statement, receipt.settlement, 'settlement')
  return signed.action === 'accept' ? decoded : signed
}

function checkOutput(
  { swarmId }: LogState,
  settlement: SettlementBody,
  job: LoggedJob,
  commitments: readonly (OpenedCommitment | undefined)[],
  output: Uint8Array,
): Validation<Reveal | undefined> {
  if (settlement.outcome === 'refunded')
    return output.length === 0 ? accept(undefined) : reject('bytes_trailing', 'output')
  const reveal = at('output', revealCodec.decode(output))
  if (reveal.action !== 'accept') return reveal
  const { ids, text, salt, replica, jobId, attempt } = reveal.value
  const tokens = idsFromBytes(ids)
  const [worker, commitment] = [job.workers[settlement.chosen], commitments[settlement.chosen]]
  if (tokens === undefined || worker === undefined || commitment === undefined)
    return reject('commitment_mismatch', 'output')
  const placed = jobId === job.id && attempt === job.attempt && replica === settlement.chosen
  const root = tokensRoot(tokens)
  const bound = outputCommit(jobId, replica, worker, root, textDigest(text), salt) === commitment.value.outputCommit
  const { task, maxTokens } = intentOf(job)
  const whole = task !== 'embedding' || areVectors(tokens, maxTokens, commitment.value)
  if (!placed || !bound || !whole || root !== settlement.outputRoot) return reject('commitment_mismatch', 'output')
  const claim = { worker, made: commitment.value, reveal: reveal.value }
  const chain = chainShown(claim, tokens, { swarmId, edge: job.edge })
  return chain === 'other' ? reject('chunk_mismatch', 'output.links') : accept(reveal.value)
}

/** Of an embedding job a reader needs no model to see that each text has its unit vector. */
function areVectors(words: Uint32Array, count: number, { finishReason }: Commitment): boolean {
  if (finishReason === 'aborted') return words.length === 0
  return vectorFault(words, { count, dimensions: words.length / count }) === undefined
}

function checkDelivery(
  state: LogState,
  job: LoggedJob,
  receipt: Receipt,
  edge: PeerId,
): Validation<Delivery | undefined> {
  const { delivery } = receipt.execution
  if (delivery.length === 0) return accept(undefined)
  const opened = at('execution.delivery', openAs(deliveryCodec, delivery, state.swarmId))
  if (opened.action !== 'accept') return opened
  const { value, signer } = opened.value
  const fits = signer === edge && value.jobId === job.id && value.assignmentHash === job.assignmentHash
  if (!fits) return reject('signer_mismatch', 'execution.delivery')
  return areJoined(value, job) ? accept(value) : reject('proposal_mismatch', 'execution.delivery.segments')
}

/** The client read one output, whoever said it: without gaps, and its end from a worker that committed to all of it. */
function areJoined({ segments, attempt }: Delivery, job: LoggedJob): boolean {
  let next = 0
  for (const { tokenStart, tokenCount } of segments) {
    if (tokenStart !== next) return false
    next += tokenCount
  }
  const last = segments.at(-1)
  return attempt === job.attempt && (last === undefined || job.workers.includes(last.worker))
}

function certified(
  state: LogState,
  statement: Statement,
  certificate: CompactCertificate,
  where: string,
  abstaining: readonly PeerId[] = [],
): Validation<unknown> {
  return at(
    `${where}.certificate`,
    checkCertificate(state.swarmId, state.validators, statement, certificate, abstaining),
  )
}

function loggedJob(state: LogState, intentBody: Uint8Array, user: PeerId, receipt: Receipt): LoggedJob {
  const { edge, index, previous, timeMs } = receipt.hold
  const entry = entryCodec.encode({ kind: 'hold', index, previous, timeMs, body: holdBody(edge, receipt.intent) })
  return {
    ...{ id: jobIdOf(state.swarmId, intentBody), user, edge, intentBody, holdAmount: 0n, holdLeft: 0n },
    ...{ holdHash: entryHash(state.swarmId, entry), holdIndex: index, holdMs: timeMs },
    deadlineMs: timeMs + BigInt(state.genesis.policy.jobMs),
    ...{
      phase: 'assigned',
      attempt: attemptOf(receipt),
      workers: [],
      assignmentHash: NO_DIGEST,
      findings: [],
      settlement: null,
      correctionCount: 0,
      epoch: receipt.epoch.number,
      // Findings say which thresholds they were made under, and a settlement follows from findings.
      policyId: NO_DIGEST,
      auditPermille: [],
      disputes: [],
    },
  }
}

/** Of the assignment that the receipt shows: its certificate says that there was one. */
function attemptOf({ assignment }: Receipt): number {
  const decoded = assignmentCodec.decode(assignment.body)
  return decoded.action === 'accept' ? decoded.value.attempt : 0
}

function isEdge({ members }: CheckedEpoch, peer: PeerId): boolean {
  return ((members.get(peer)?.roles ?? 0) & ROLE.edge) !== 0
}

/** The sealed body inside an envelope, unverified: the genesis inside tells under which swarm to verify it. */
function bodyOf(file: Uint8Array): Uint8Array {
  const wire = decodeWire(file, LIMITS.receiptOutputBytesMax + 5 * LIMITS.receiptBytesMax)
  const body = wire.action === 'accept' && Array.isArray(wire.value) ? wire.value[2] : undefined
  return body instanceof Uint8Array ? body : new Uint8Array()
}

/** Says where: the innermost place is kept. */
function at<T>(where: string, validation: Validation<T>): Validation<T> {
  if (validation.action !== 'reject') return validation
  return reject(validation.reason, validation.where === undefined ? where : `${where}: ${validation.where}`)
}

const NO_DIGEST = digestOf(new Uint8Array(32))
