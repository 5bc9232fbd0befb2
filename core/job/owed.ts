/** What a job still owes, from its state alone: the driver runs it, and runs it again after a crash. */
import type { Effect, Job } from './job.ts'

export function owed(job: Job): readonly Effect[] {
  switch (job.phase) {
    case 'admitted':
      return unanswered(job)
    case 'proposed':
      return [{ type: 'vote-assignment' }]
    case 'assigned':
      return [{ type: 'log-assignment' }]
    case 'executing':
      return job.replicas.flatMap((replica, index): Effect[] =>
        replica.state === 'running' ? [{ type: 'execute', replica: index, worker: replica.worker }] : [],
      )
    case 'committed':
      if (job.commitSet?.certificate === null) return [{ type: 'vote-commit-set' }]
      return job.replicas.flatMap((replica, index): Effect[] =>
        replica.state === 'committed' ? [{ type: 'reveal', replica: index, worker: replica.worker }] : [],
      )
    case 'revealed':
      return [{ type: job.commitSet === null ? 'vote-findings' : 'audit' }]
    case 'audited':
      return [{ type: 'vote-findings' }]
    case 'verified':
    case 'disputed':
      if (!job.resultsLogged) return [{ type: 'log-results' }]
      return [job.settlement === null ? { type: 'vote-settlement' } : { type: 'log-settlement' }]
    case 'failed':
      if (job.expired) return [{ type: 'expire' }]
      return [job.settlement === null ? { type: 'vote-settlement' } : { type: 'log-settlement' }]
    case 'settled':
      return []
  }
}

function unanswered(job: Job): readonly Effect[] {
  const heard = new Set(job.answers.map((answer) => answer.peer))
  return job.draw.ranked.filter((peer) => !heard.has(peer)).map((peer): Effect => ({ type: 'offer', peer }))
}
