/** Small simulations for tests, and the shape that every one of them has. */
import { invariant } from '../../core/invariant.ts'
import type { SimulationReport, SimulationRequest } from '../../node/runtime/simulation.ts'
import { type RunOptions, runSimulation } from '../../node/simulation/run.ts'

type Parts = Partial<Omit<SimulationRequest, 'faults'>> & { readonly faults?: Partial<SimulationRequest['faults']> }

export function simulationRequest({ faults, ...parts }: Parts = {}): SimulationRequest {
  return {
    ...{ peers: 12, validators: 4, jobs: 12, users: 2, replicas: 3, verify: 'after', seed: 1 },
    ...{ byzantineValidators: 0, loss: 0, latency: { meanMs: 40, jitterMs: 20 }, arrivalsPerSecond: 20 },
    model: { megaParams: 3, promptTokens: 16, maxTokens: 8 },
    ...{ userBudget: 1_000_000_000n, detail: 'summary', limit: 100 },
    ...parts,
    faults: { crash: 0, liar: 0, silent: 0, busy: 0, slow: 0, ...faults },
  }
}

export function simulated(parts: Parts = {}, options: RunOptions = {}): SimulationReport {
  const request = simulationRequest(parts)
  const report = runSimulation(request, request.seed ?? 1, options)
  invariant(report !== undefined, 'nobody stops it')
  return report
}

export function rulesBroken({ violations }: SimulationReport): readonly string[] {
  return [...new Set(violations.map(({ rule }) => rule))].sort()
}
