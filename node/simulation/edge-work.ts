/** What the edge asks of workers: offers, runs, reveals. */
import { openAs } from '../../core/identity/envelope.ts'
import type { Effect, Job, JobEvent } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { answerCodec } from '../../core/log/assignment.ts'
import { commitmentCodec } from '../../core/verification/commitment.ts'
import type { Done, Peers } from './edge.ts'
import { nowMs, type World } from './world.ts'

export const REQUEST_MS = 5_000

export type WorkEffect = Extract<Effect, { readonly type: 'offer' | 'execute' | 'reveal' }>

export function performWork(
  world: World,
  peers: Peers,
  job: Job,
  effect: WorkEffect,
  tell: (event: JobEvent) => void,
  done: Done,
) {
  switch (effect.type) {
    case 'offer':
      return offer(world, peers, job, effect, done)
    case 'execute':
      return execute(world, peers, job, effect, tell, done)
    case 'reveal':
      return reveal(world, peers, job, effect, done)
  }
}

function offer(world: World, peers: Peers, job: Job, { peer }: WorkEffect & { type: 'offer' }, done: Done) {
  const worker = peers.workers.get(peer)
  world.network.request<Uint8Array>(
    (reply) => {
      const answer = worker?.offer(job.id, job.attempt)
      if (answer !== undefined) reply(answer)
    },
    Math.min(REQUEST_MS, job.timing.answerMs),
    (envelope) => {
      const opened = openAs(answerCodec, envelope ?? new Uint8Array(), world.swarm.genesis.swarmId)
      const answer = opened.action === 'accept' && opened.value.signer === peer ? opened.value.value.answer : 'silent'
      world.recorder.offered(answer)
      const at = { peer, nowMs: nowMs(world) }
      if (answer === 'silent' || envelope === undefined) return done([{ type: 'silent', ...at }])
      return done([{ type: 'answered', answer, envelope, ...at }])
    },
  )
}

/** A stream between two peers: what breaks it is noticed by the other side, a lost message of it only by a deadline. */
function execute(
  world: World,
  peers: Peers,
  job: Job,
  { replica, worker }: WorkEffect & { type: 'execute' },
  tell: (event: JobEvent) => void,
  done: Done,
) {
  if (job.phase !== 'executing') return done([])
  const { network, scheduler } = world
  const { intentEnvelope: intent, assignment, certificate } = job
  const lost = (reason: string) => () => done([{ type: 'lost', replica, reason }])
  const order = { intent, assignment, certificate, replica }
  const arrives = network.send(() =>
    peers.workers.get(worker)?.execute(order, {
      streaming: () => {
        if (job.intent.verify === 'after') network.send(() => tell({ type: 'streaming', replica }))
      },
      committed: (commitment) => {
        const sent = network.send(() => {
          const opened = openAs(commitmentCodec, commitment, world.swarm.genesis.swarmId)
          const isTheirs = opened.action === 'accept' && opened.value.signer === worker
          done([
            isTheirs ? { type: 'committed', replica, commitment } : { type: 'lost', replica, reason: 'commitment' },
          ])
        })
        if (!sent) scheduler.after(REQUEST_MS, lost('message_lost'))
      },
      broken: () => scheduler.after(world.request.latency.meanMs, lost('stream_broken')),
    }),
  )
  if (!arrives) scheduler.after(Math.min(REQUEST_MS, msLeft(world, job)), lost('message_lost'))
}

function msLeft(world: World, job: Job & { phase: 'executing' }): number {
  return Math.max(1, Number(assignmentOf(job.assignment).commitByMs) - nowMs(world))
}

function reveal(
  world: World,
  peers: Peers,
  job: Job,
  { replica, worker }: WorkEffect & { type: 'reveal' },
  done: Done,
): void {
  world.network.request<Uint8Array>(
    (reply) => {
      const shown = peers.workers.get(worker)?.reveal(job.id, job.attempt, replica)
      if (shown !== undefined) reply(shown)
    },
    REQUEST_MS,
    (shown) => done(shown === undefined ? 'retry' : [{ type: 'revealed', replica, reveal: shown }]),
  )
}
