/** The assignment part of a receipt: the draw is repeated from the roster, the beacon and the hold. */
import { openAs } from '../identity/envelope.ts'
import type { Digest, PeerId } from '../ids.ts'
import { answerCodec, answersDigest, assignmentCodec, bodyDigest } from '../log/assignment.ts'
import { statementOf } from '../log/authority.ts'
import { type DrawSource, rankedFor } from '../log/draw.ts'
import { drawSource, epochOfJob } from '../log/epochs.ts'
import type { Intent } from '../log/intent.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import { checkCertificate } from '../quorum/certificate.ts'
import { type Member, ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { type DrawAnswer, pick } from '../selection/committee.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { CheckedEpoch } from './epoch.ts'
import type { Receipt } from './receipt.ts'

export type CheckedAssignment = {
  readonly workers: readonly PeerId[]
  readonly hash: Digest
  readonly epoch: bigint
  readonly overlapping: boolean
  /** Whether the draw was repeated; else only its certificate vouches for it, because the roster is not at hand. */
  readonly drawn: boolean
  /** R + spares in rank order, with what each answered; of a draw that was not repeated, whoever answered. */
  readonly ranked: readonly { readonly peer: PeerId; readonly answer: DrawAnswer }[]
}

/** @returns undefined for a job that failed before it was assigned */
export function checkAssignment(
  state: LogState,
  job: LoggedJob,
  intent: Intent,
  part: Receipt['assignment'],
  epoch: CheckedEpoch,
): Validation<CheckedAssignment | undefined> {
  if (part.body.length === 0) {
    const empty = part.answers.length === 0 && part.bitmap === 0 && part.signatures.length === 0
    return empty ? accept(undefined) : reject('bytes_trailing', 'assignment')
  }
  const decoded = assignmentCodec.decode(part.body)
  if (decoded.action !== 'accept') return reject('body_malformed', 'assignment.body')
  const assignment = decoded.value
  const hash = bodyDigest('assignment', state.swarmId, part.body)
  const statement = statementOf(state, 'assignment', {
    subject: job.id,
    attempt: assignment.attempt,
    index: 0,
    digest: hash,
  })
  const signed = checkCertificate(state.swarmId, state.validators, statement, part)
  if (signed.action !== 'accept') return reject('certificate_without_quorum', 'assignment.certificate')
  if (assignment.jobId !== job.id || assignment.attempt !== job.attempt || assignment.holdHash !== job.holdHash)
    return reject('proposal_mismatch', 'hold')
  const { beacon, rosterRoot } = epochOfJob(state, job)
  const same = assignment.epoch === job.epoch && assignment.rosterRoot === rosterRoot && assignment.beacon === beacon
  if (!same) return reject('proposal_mismatch', 'assignment.draw')
  const answers = checkAnswers(state, job, part.answers, assignment.answersDigest)
  if (answers.action !== 'accept') return answers
  const { workers, overlapping } = assignment
  if (!workers.every((worker) => hasRole(epoch.members.get(worker), ROLE.worker)))
    return reject('proposal_mismatch', 'assignment.workers')
  const { roster } = epoch
  const source = drawSource(state, job)
  const heard = roster === undefined ? answers.value : drawn(source, roster, intent, job.holdHash, answers.value)
  if (roster !== undefined && pick([...heard.keys()], heard, intent.replicas)?.join() !== workers.join())
    return reject('proposal_mismatch', 'assignment.workers')
  const ranked = [...heard].map(([peer, answer]) => ({ peer, answer }))
  return accept({ workers, hash, epoch: job.epoch, overlapping, drawn: roster !== undefined, ranked })
}

/** The ranking, repeated, with what each answered. */
function drawn(
  source: DrawSource,
  roster: RosterSnapshot,
  intent: Intent,
  holdHash: Digest,
  said: ReadonlyMap<PeerId, DrawAnswer>,
): ReadonlyMap<PeerId, DrawAnswer> {
  const ranked = rankedFor(source, roster, intent, holdHash)
  return new Map(ranked.map((peer) => [peer, said.get(peer) ?? 'silent']))
}

function hasRole(member: Member | undefined, role: number): boolean {
  return member !== undefined && (member.roles & role) !== 0
}

function checkAnswers(
  state: LogState,
  job: LoggedJob,
  envelopes: readonly Uint8Array[],
  expected: Digest,
): Validation<ReadonlyMap<PeerId, DrawAnswer>> {
  if (answersDigest(state.swarmId, envelopes) !== expected) return reject('proposal_mismatch', 'assignment.answers')
  const answers = new Map<PeerId, DrawAnswer>()
  for (const [place, envelope] of envelopes.entries()) {
    const opened = openAs(answerCodec, envelope, state.swarmId)
    const fits =
      opened.action === 'accept' && opened.value.value.jobId === job.id && opened.value.value.attempt === job.attempt
    if (!fits) return reject('signature_invalid', `assignment.answers[${place}]`)
    answers.set(opened.value.signer, opened.value.value.answer)
  }
  return accept(answers)
}
