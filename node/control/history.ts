/** The routes that answer why: a job's timeline and its draw, and who votes. */
import type { FastifyInstance } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import type { CertifiedEntry, JobExplanation, JobTimeline, QuorumView } from '../runtime/app.ts'
import type { ControlContext } from './context.ts'
import { object, refuseUnknown } from './fields.ts'
import { jobIdOf } from './p2p.ts'
import { readPage } from './paging.ts'
import { isoTime, transactionJson } from './present.ts'

type ById = { Params: { id: string } }

export function historyRoutes(server: FastifyInstance, { app }: ControlContext): void {
  server.get<ById>('/api/v1/p2p/jobs/:id/timeline', async (request) => {
    const timeline = await app.timeline(jobIdOf(request.params.id))
    if (timeline === undefined) throw unknownJob()
    return timelineJson(timeline)
  })

  server.get<ById>('/api/v1/p2p/jobs/:id/explain', async (request) => {
    const id = jobIdOf(request.params.id)
    const explanation = app.explain(id)
    if (explanation !== undefined) return explanationJson(explanation)
    throw app.job(id) === undefined ? unknownJob() : new FabricError('CF_ROSTER_UNKNOWN', { job: id })
  })

  server.get('/api/v1/p2p/quorum', async (request) => {
    const query = object(request.query, 'query')
    refuseUnknown(query, new Set(['limit']))
    return quorumJson(await app.quorum(readPage(query).limit))
  })
}

function unknownJob(): FabricError {
  return new FabricError('CF_JOB_UNKNOWN', { param: 'job_id' })
}

function timelineJson(timeline: JobTimeline): object {
  return {
    job_id: timeline.id,
    phases: timeline.phases.map(({ phase, atMs }) => ({ phase, time: atMs === null ? null : isoTime(atMs) })),
    replicas: timeline.replicas,
    votes: timeline.votes.map(certifiedJson),
    transfers: timeline.transfers.map(transactionJson),
  }
}

function explanationJson({ id, rosterRoot, holdHash, epoch, beacon, ranked, matches }: JobExplanation): object {
  return {
    ...{ job_id: id, epoch: epoch.toString(), roster_root: rosterRoot, beacon, hold_hash: holdHash },
    ranked,
    matches,
  }
}

function quorumJson(view: QuorumView): object {
  return {
    epoch: view.epoch.toString(),
    set_hash: view.setHash,
    validators: view.validators,
    quorum: view.quorum,
    faulty: view.faulty,
    overlapping: view.overlapping,
    recent: view.recent.map(certifiedJson),
  }
}

function certifiedJson({ job, kind, replica, voters, entry, hash, timeMs }: CertifiedEntry): object {
  return { job_id: job, kind, replica, voters, entry: entry.toString(), hash, time: isoTime(timeMs) }
}
