/** A job's story by the log's clock: phases, who voted, who was paid. */
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import type { CertifiedEntry, JobTimeline, JobView } from '../runtime/app.ts'
import type { RegionLog, TransferRow } from '../runtime/ports.ts'
import { certificatesOf } from './history.ts'

/** Transfers of one job: a hold, a leg for each node that is paid, the refund, and corrections. */
const TRANSFERS_MAX = 200

export type TimelinePorts = {
  readonly log: Pick<RegionLog, 'read'>
  readonly state: () => LogState
  readonly transfers: (filter: { readonly jobId: string; readonly limit: number }) => readonly TransferRow[]
}

/** What a timeline needs of a job: of one that another node drives the log says it. */
export type Timed = Pick<JobView, 'id' | 'phase' | 'createdMs' | 'replicas'>

export function loggedTimed({ id, phase, holdMs }: LoggedJob): Timed {
  return { id, phase: PHASE_OF_LOG[phase], createdMs: Number(holdMs), replicas: [] }
}

export async function timelineOf(job: Timed, { log, state, transfers }: TimelinePorts): Promise<JobTimeline> {
  const now = state()
  const logged = now.jobs.get(job.id)
  const votes = logged === undefined ? [] : await certificatesOf(log, now, logged)
  const rows = transfers({ jobId: job.id, limit: TRANSFERS_MAX })
  return {
    id: job.id,
    phases: phasesOf(job, votes),
    replicas: job.replicas,
    votes,
    transfers: rows.toReversed(),
  }
}

const PHASE_OF_LOG = { held: 'admitted', assigned: 'assigned', settled: 'settled' } as const
const PHASE_OF_ENTRY = { assignment: 'assigned', result: 'verified', settlement: 'settled' } as const

/** The last result entry is when the job was verified: its replicas are certified one by one. */
function phasesOf(job: Timed, votes: readonly CertifiedEntry[]): JobTimeline['phases'] {
  const times = new Map<string, number | null>([['admitted', job.createdMs]])
  for (const { kind, timeMs } of votes) times.set(PHASE_OF_ENTRY[kind], timeMs)
  if (!times.has(job.phase)) times.set(job.phase, null)
  return [...times].map(([phase, atMs]) => ({ phase, atMs }))
}
