/** A simulated swarm of 1,000 peers and 1,000 jobs with 10 % crashes and 5 % liars, against the minute that it may take. */
import { forgetSignatures } from '../core/identity/signatures.ts'
import { parseSimulationRequest } from '../node/control/simulate-request.ts'
import type { SimulationReport } from '../node/runtime/simulation.ts'
import { CORE_RULES, type Rules } from '../node/simulation/rules.ts'
import { runSimulation } from '../node/simulation/run.ts'
import { median, type Result } from './report.ts'

const REQUEST = { peers: 1_000, jobs: 1_000, replicas: 3, seed: 7, faults: { crash: 0.1, liar: 0.05 } }
const ALLOWED_S = 60
const MS_PER_SECOND = 1_000

/** As if every role ran in a process of its own: nobody has verified a signature before. */
const FORGETFUL: Rules = {
  applyEntry: forgetting(CORE_RULES.applyEntry),
  judgeFindings: forgetting(CORE_RULES.judgeFindings),
  cast: forgetting(CORE_RULES.cast),
}

function forgetting<Input extends readonly unknown[], Output>(work: (...input: Input) => Output) {
  return (...input: Input): Output => {
    forgetSignatures()
    return work(...input)
  }
}

export async function sim(runs: number): Promise<Result> {
  const remembered = Array.from({ length: runs }, () => timed(CORE_RULES))
  const anew = Array.from({ length: runs }, () => timed(FORGETFUL))
  const [first] = remembered
  if (first === undefined) throw new Error('at least one run')
  const { jobs, counts, log, balances, violations, outputs } = first.report
  if (violations.length > 0 || !balances.zeroSum || jobs.settled !== REQUEST.jobs)
    throw new Error('the simulation is not sound')
  const once = (name: string, unit: string, value: number) => ({ name, unit, values: [value] })
  const seconds = remembered.map(({ wallS }) => wallS)
  const secondsAnew = anew.map(({ wallS }) => wallS)
  return {
    bench: 'sim',
    figures: [
      { name: 'signatures verified once', unit: 's', values: seconds },
      { name: 'every signature verified where it counts', unit: 's', values: secondsAnew },
      once('settled', 'jobs', jobs.settled),
      once('paid', 'jobs', jobs.paid),
      once('answers from liars', 'jobs', outputs.chosen['liar'] ?? 0),
      once('messages', 'messages', counts.messages),
      once('votes', 'votes', counts.votes),
      once('signatures made', 'signatures', counts.signatures),
      once('log', 'entries', log.entries),
      once('violations', 'violations', violations.length),
    ],
    ratios: [
      { name: 'of the minute allowed', value: median(seconds) / ALLOWED_S },
      { name: 'of the minute, verified anew', value: median(secondsAnew) / ALLOWED_S },
    ],
  }
}

function timed(rules: Rules): { readonly report: SimulationReport; readonly wallS: number } {
  const startedMs = performance.now()
  const report = runSimulation(parseSimulationRequest(REQUEST), REQUEST.seed, { rules })
  if (report === undefined) throw new Error('nobody stopped it')
  return { report, wallS: (performance.now() - startedMs) / MS_PER_SECOND }
}
