/** Why these workers: the draw of a job, computed again from roster, beacon and hold. */
import type { PeerId } from '../../core/ids.ts'
import type { AnswerRecord, Job } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { isWorker, rankedFor } from '../../core/log/draw.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Member, RosterSnapshot } from '../../core/roster/roster.ts'
import { type DrawAnswer, pick } from '../../core/selection/committee.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../core/selection/rendezvous.ts'
import type { JobExplanation } from '../runtime/app.ts'

type Ranked = JobExplanation['ranked'][number]

/** @returns undefined when the job was drawn from another roster than the one at hand: then nothing can be recomputed */
export function explanationOf(job: Job, state: LogState, roster: RosterSnapshot): JobExplanation | undefined {
  const { epoch, beacon, rosterRoot, ranked: drawn } = job.draw
  if (rosterRoot !== roster.root || beacon !== state.beacon) return undefined
  const holdHash = job.hold.hash
  const key = rendezvousKey(beacon, holdHash)
  const ranked = rankedFor(state, roster, job.intent, holdHash)
  const answers = new Map(job.answers.map((answer) => [answer.peer, answer]))
  const workers = 'assignment' in job && job.assignment.length > 0 ? assignmentOf(job.assignment).workers : []
  const rows = rank(key, roster.members.filter(isWorker)).map((member): Ranked => {
    const { hi, lo } = rendezvousScore(key, member.peer, member.weight)
    const score = [hi, lo].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
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
  return answer.answer === 'busy' ? 'declined: no slot was free' : 'gave no answer in time'
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
