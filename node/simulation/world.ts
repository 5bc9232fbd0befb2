/** What everybody in a simulation shares: time, chance, the network, the log, the checkers, and the record of what happened. */
import type { PeerId } from '../../core/ids.ts'
import type { Bench } from '../../core/job/judge.ts'
import type { SimulationRequest } from '../runtime/simulation.ts'
import type { VoteChecker } from './check-votes.ts'
import type { WorkChecker } from './check-work.ts'
import type { Network } from './network.ts'
import type { Prng } from './prng.ts'
import type { Recorder } from './recorder.ts'
import type { SimulatedLog } from './region-log.ts'
import type { Rules } from './rules.ts'
import type { Scheduler } from './scheduler.ts'
import { START_MS, type Swarm } from './swarm.ts'

export type World = {
  readonly request: SimulationRequest
  readonly swarm: Swarm
  readonly rules: Rules
  readonly scheduler: Scheduler
  readonly prng: Prng
  readonly network: Network
  readonly log: SimulatedLog
  readonly votes: VoteChecker
  readonly work: WorkChecker
  readonly recorder: Recorder
}

/** Log time, milliseconds. */
export function nowMs({ scheduler }: Pick<World, 'scheduler'>): number {
  return START_MS + scheduler.nowMs
}

/** @param self  whose judgement it is; the edge judges too and signs nothing */
export function benchOf(world: World, self: PeerId | undefined): Bench {
  const { log, swarm } = world
  return { self, state: log.state, roster: swarm.roster, nowMs: nowMs(world), facts: swarm.facts }
}
