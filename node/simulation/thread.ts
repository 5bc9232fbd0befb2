/** The simulation's thread: nothing in it is shared with the daemon but one flag. */
import type { Simulated, SimulationRequest } from '../runtime/simulation.ts'
import { plotOf } from './plot.ts'
import { runSimulation } from './run.ts'

export type Task = {
  readonly request: SimulationRequest
  readonly seed: number
  /** One Int32: anything but zero stops the simulation. */
  readonly stop: Int32Array
}

/** @returns undefined when it was stopped */
export function simulate({ request, seed, stop }: Task): Simulated | undefined {
  const report = runSimulation(request, seed, { shouldStop: () => Atomics.load(stop, 0) !== 0 })
  return report === undefined ? undefined : { report, svg: plotOf(report) }
}
