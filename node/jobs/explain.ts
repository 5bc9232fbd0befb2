/** Why these workers: the draw of a job, computed again from roster, beacon and hold. */
import type { PeerId } from '../../core/ids.ts'
import type { AnswerRecord, Job } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { mayWork, rankedFor } from '../../core/log/draw.ts'
import { drawSource, epochOfJob } from '../../core/log/epochs.ts'
import { intentOf } from '../../core/log/settling.ts'
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import type { Member, RosterSnapshot } from '../../core/roster/roster.ts'
import { type DrawAnswer, pick } from '../../core/selection/committee.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../core/selection/rendezvous.ts'
import type { JobExplanation } from '../runtime/app.ts'

type Ranked = JobExplanation['ranked'][number]

/** @returns undefined when the job was drawn from another roster than the one given: then nothing can be recomputed */
export function explanationOf(job: Job, { genesis }: LogState, roster: RosterSnapshot): JobExplanation | undefined {
  const { epoch, beacon, rosterRoot, ranked: drawn } = job.draw
  if (rosterRoot !== roster.root) return undefined
  const holdHash = job.hold.hash
  const key = rendezvousKey(beacon, holdHash)
  const ranked = rankedFor({ genesis, beacon }, roster, job.intent, holdHash)
  const answers = new Map(job.answers.map((answer) => [answer.peer, answer]))
  const workers = 'assignment' in job && job.assignment.length > 0 ? assignmentOf(job.assignment).workers : []
  const rows = rank(key, roster.members.filter(mayWork(genesis))).map((member): Ranked => {
    const score = scoreText(key, member)
    const place = workers.indexOf(member.peer)
    const answer = answers.get(member.peer)
    const { peer, weight } = member
    return {
      ...{ peer, score, weight, chosen: place < 0 ? null : place },
      answer: answer?.answer ?? 'not asked',
      why: reasonOf(member, place, answer, ranked, workers.length),
    }
  })
  return {
    ...{ id: job.id, epoch, rosterRoot, beacon, holdHash, ranked: rows },
    matches: ranked.join() === drawn.join() && isPicked(ranked, job.answers, workers, job.intent.replicas),
  }
}

/** The draw of a job that another node drives: who worked is in the log, what the others answered is with its edge. */
export function loggedExplanation(job: LoggedJob, state: LogState, roster: RosterSnapshot): JobExplanation {
  const { epoch, beacon, rosterRoot } = epochOfJob(state, job)
  const { id, holdHash, workers } = job
  const key = rendezvousKey(beacon, holdHash)
  const ranked = rankedFor(drawSource(state, job), roster, intentOf(job), holdHash)
  const rows = rank(key, roster.members.filter(mayWork(state.genesis))).map((member): Ranked => {
    const place = workers.indexOf(member.peer)
    const { peer, weight } = member
    const why = reasonOf(member, place, undefined, ranked, workers.length)
    return {
      peer,
      score: scoreText(key, member),
      weight,
      chosen: place < 0 ? null : place,
      answer: 'not known here',
      why,
    }
  })
  const places = workers.map((worker) => ranked.indexOf(worker))
  const matches = places.every((place, index) => place > (places[index - 1] ?? -1))
  return { id, epoch, rosterRoot, beacon, holdHash, ranked: rows, matches }
}

/** 64 bits in hexadecimal. */
export function scoreText(key: Uint8Array, { peer, weight }: Member): string {
  const { hi, lo } = rendezvousScore(key, peer, weight)
  return [hi, lo].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
}

function reasonOf(
  { peer }: Member,
  place: number,
  answer: AnswerRecord | undefined,
  ranked: readonly PeerId[],
  workerCount: number,
): string {
  if (place >= 0) return `works on replica ${place}: among the best ranked that accepted`
  if (!ranked.includes(peer)) return 'ranked below the spares, or left out by a cap on its owner or address block'
  if (answer === undefined) return workerCount > 0 ? 'a spare that nobody had to ask' : 'not asked yet'
  if (answer.answer === 'accept') return workerCount > 0 ? 'a spare: enough better ranked peers accepted' : 'accepted'
  return answer.answer === 'busy'
    ? 'declined: no slot was free, or it is the edge of this job'
    : 'gave no answer in time'
}

/** Before the assignment there is nothing that could differ. */
function isPicked(
  ranked: readonly PeerId[],
  answers: readonly AnswerRecord[],
  workers: readonly PeerId[],
  replicas: number,
): boolean {
  if (workers.length === 0) return true
  const said = new Map<PeerId, DrawAnswer>(ranked.map((peer) => [peer, 'silent']))
  for (const { peer, answer } of answers) said.set(peer, answer)
  return pick(ranked, said, replicas)?.join() === workers.join()
}
