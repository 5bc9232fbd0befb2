import { toHex } from '../../../core/codec/bytes.ts'
import { sealAs } from '../../../core/identity/envelope.ts'
import type { PeerId } from '../../../core/ids.ts'
import { judgeAssignment } from '../../../core/job/judge.ts'
import { assignmentOf } from '../../../core/job/machine.ts'
import {
  type Answer,
  type Assignment,
  answerCodec,
  answersDigest,
  assignmentCodec,
} from '../../../core/log/assignment.ts'
import { statementBytes } from '../../../core/quorum/vote.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { expectAccepted, FACTS, JobRun, secretOf } from '../../support/job-run.ts'
import { digestNamed, keyNamed } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

export function assignmentVectors(): VectorFile {
  return {
    name: 'assignment',
    describe: 'Apply the entries to the genesis, then judge the proposed assignment and its answers at the time given.',
    cases: [...acceptedCases(), ...refusedCases()],
  }
}

function inputOf(run: JobRun, assignment: Uint8Array, answers: readonly Uint8Array[]): VectorCase['input'] {
  const { genesis, entries } = run.swarm
  return {
    ...{ genesis: toHex(genesis.bytes), entries: entries.map(toHex), megaParams: FACTS.megaParams, nowMs: run.nowMs },
    ...{ assignment: toHex(assignment), answers: answers.map(toHex) },
  }
}

function acceptedCases(): VectorCase[] {
  const ways: readonly (readonly [string, number, (run: JobRun, ranked: readonly PeerId[]) => void])[] = [
    ['one replica, the best-ranked peer accepts', 1, (run) => void run.answerAll()],
    ['three replicas, all of the best-ranked accept', 3, (run) => void run.answerAll()],
    [
      'a busy and a silent peer are passed over',
      3,
      (run, ranked) => {
        for (const [place, peer] of ranked.entries()) {
          if (place === 1) run.tell({ type: 'silent', peer, nowMs: run.nowMs })
          else run.answer(peer, place === 0 ? 'busy' : 'accept')
        }
      },
    ],
    ['five replicas', 5, (run) => void run.answerAll()],
  ]
  return ways.map(([name, replicas, answer]) => {
    const run = new JobRun({ intent: { replicas } })
    answer(run, run.job.draw.ranked)
    const { assignment, answers } = run.assignmentProposal
    const statement = expectAccepted(judgeAssignment(run.bench(), run.assignmentProposal))
    const signedBytes = toHex(statementBytes(run.swarm.state.swarmId, statement))
    return {
      name,
      accept: true,
      input: inputOf(run, assignment, answers),
      expect: { digest: statement.digest, signedBytes },
    }
  })
}

function refusedCases(): VectorCase[] {
  const run = new JobRun()
  run.answerAll()
  const { assignment, answers } = run.assignmentProposal
  const honest = assignmentOf(assignment)
  const { swarmId } = run.swarm.state
  const [best, second, third] = honest.workers
  const spare = run.job.draw.ranked[3]
  const workersOf = (...peers: readonly (PeerId | undefined)[]) => peers.filter((peer) => peer !== undefined)
  const refused = (name: string, reason: RejectReason, parts: Partial<Assignment>, used = answers): VectorCase => {
    const answersBound = used === answers ? {} : { answersDigest: answersDigest(swarmId, used) }
    const body = assignmentCodec.encode({ ...honest, ...answersBound, ...parts })
    return { name, accept: false, input: inputOf(run, body, used), expect: { reason } }
  }
  const sealed = (parts: Partial<Answer>, key = secretOf(best)): readonly Uint8Array[] => {
    const value = { jobId: run.id, attempt: 0, answer: 'accept' as const, slotsFree: 1, ...parts }
    return [sealAs(answerCodec, value, swarmId, key), ...answers.slice(1)]
  }
  return [
    refused('two workers swapped', 'proposal_mismatch', { workers: workersOf(second, best, third) }),
    refused('a worse-ranked peer instead', 'proposal_mismatch', { workers: workersOf(best, second, spare) }),
    refused('a worker too few', 'proposal_mismatch', { workers: workersOf(best, second) }),
    refused('a worker twice', 'proposal_mismatch', { workers: workersOf(best, best, second) }),
    refused('another hold', 'proposal_mismatch', { holdHash: digestNamed('other') }),
    refused('another beacon', 'proposal_mismatch', { beacon: digestNamed('other') }),
    refused('another roster', 'proposal_mismatch', { rosterRoot: digestNamed('other') }),
    refused('another epoch', 'proposal_mismatch', { epoch: 1n }),
    refused('a second attempt before the first has failed', 'proposal_mismatch', { attempt: 1 }),
    refused('answers that are not the ones bound', 'proposal_mismatch', { answersDigest: digestNamed('other') }),
    refused('an answer less', 'proposal_mismatch', {}, answers.slice(1)),
    refused('an answer of a peer that was not drawn', 'proposal_mismatch', {}, sealed({}, keyNamed('stranger'))),
    refused('an answer about another job', 'proposal_mismatch', {}, sealed({ jobId: digestNamed('other') })),
    refused('a busy answer of a worker', 'proposal_mismatch', {}, sealed({ answer: 'busy' })),
    refused('an answer that is cut', 'bytes_truncated', {}, [
      (answers[0] ?? new Uint8Array()).subarray(0, -1),
      ...answers.slice(1),
    ]),
    refused('reveals due with the commitments', 'proposal_mismatch', { revealByMs: honest.commitByMs }),
    refused('reveals due after the hold', 'proposal_mismatch', { revealByMs: run.job.hold.deadlineMs + 1n }),
    refused('commitments due in the past', 'proposal_mismatch', { commitByMs: BigInt(run.nowMs) - 1n }),
    refused('an overlap that there is not', 'proposal_mismatch', { overlapping: true }),
  ]
}
