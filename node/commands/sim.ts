/** `cfab-node sim`: what a swarm would do under faults, computed here by the real core. Needs no running node. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { FabricError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import { simulationJson } from '../control/simulate.ts'
import { parseSimulationRequest } from '../control/simulate-request.ts'
import type { SimulationReport, SimulationRequest } from '../runtime/simulation.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { plotOf } from '../simulation/plot.ts'
import { drawSeed } from '../simulation/prng.ts'
import { runSimulation } from '../simulation/run.ts'
import type { Json, Run } from './flags.ts'
import type { Io } from './io.ts'
import { json } from './print.ts'
import { runMarketCommand } from './sim-market.ts'
import { type MembersFlags, runMembers } from './sim-members.ts'
import { simulationText } from './sim-text.ts'

type SimFlags = Json & {
  readonly [Name in (typeof NUMBERS)[number][0]]?: string
} & {
  readonly verify?: string
  readonly budget?: string
  readonly svg?: string
  readonly list?: string
} & MembersFlags & {
    readonly members?: boolean
    readonly market?: boolean
    readonly audits?: string
  }

/** Flag, what it stands for in the request, and what it says. */
const NUMBERS = [
  ['peers', 'peers', 'peers that work, 5 to 2,000 (default: 100)'],
  ['jobs', 'jobs', 'jobs, 1 to 5,000 (default: 100)'],
  ['replicas', 'replicas', 'workers of each job, 1 to 5 (default: 3)'],
  ['validators', 'validators', 'validators, 4 to 13 (default: 4)'],
  ['users', 'users', 'users that submit by turns, 1 to 16 (default: 4)'],
  ['seed', 'seed', 'the same seed is the same simulation, byte for byte (default: drawn and shown)'],
  ['crash', 'faults.crash', 'fraction of the peers that crash in the middle of every job, 0 to 1 (default: 0)'],
  ['liars', 'faults.liar', 'fraction that give another output'],
  ['silent', 'faults.silent', 'fraction that never answer'],
  ['busy', 'faults.busy', 'fraction that always say busy'],
  ['slow', 'faults.slow', 'fraction that take 4 to 60 times as long'],
  ['byzantine', 'faults.byzantine_validators', 'validators that sign other digests, twice, or not at all (default: 0)'],
  ['loss', 'faults.loss', 'fraction of messages that never arrive (default: 0)'],
  ['latency', 'latency.mean_ms', 'milliseconds of one message, one way (default: 40)'],
  ['jitter', 'latency.jitter_ms', 'how far from that at most (default: 20)'],
  ['rate', 'arrivals_per_second', 'jobs a second, in the mean (default: 20)'],
  ['parameters', 'model.mega_params', 'size of the model, millions of parameters (default: 7000)'],
  ['maxTokens', 'model.max_tokens', 'length of an output at most, 1 to 512 (default: 64)'],
] as const

const EXIT_VIOLATION = 70
const PROGRESS_MS = 100
const MS_PER_SECOND = 1_000

export function addSim(program: Command, run: Run): void {
  const sim = program
    .command('sim')
    .description('simulate a swarm under faults: exit status 0 only when no rule of the protocol was broken')
  for (const [name, , description] of NUMBERS) sim.option(`--${dashed(name)} <number>`, description)
  sim
    .addOption(
      new Option('--verify <when>', 'before or after the answer is delivered (default: after)').choices([
        'after',
        'before',
      ]),
    )
    .option('--budget <credits>', 'what each user starts with (default: 1000)')
    .option('--svg <file>', 'draw the report')
    .option('--list <count>', 'jobs listed in the JSON, up to 1,000 (default: none)')
    .option('--json', 'the report as JSON')
    .option('--members', 'simulate membership at scale instead: --peers, --loss, --silent, --seed and the three below')
    .option('--regions <count>', 'with --members: regions of --peers full members each (default: 5 of 2,000)')
    .option('--views <count>', 'with --members: nodes with partial views (default: 100,000, and a tenth of it)')
    .option(
      '--runs <count>',
      'with --members: runs of each scenario with a tenth of the views; all of them run a quarter as often (default: 3)',
    )
    .option('--market', 'simulate what honest and cheating workers earn instead: --jobs, --seed and the one below')
    .option('--audits <permille>', 'with --market: outputs of a known worker that are audited (default: 100)')
    .action((flags: SimFlags) => run((io) => simulateWhat(flags)(flags, io)))
}

function simulateWhat({ members, market }: SimFlags): (flags: SimFlags, io: Io) => Promise<number> {
  if (market === true) return runMarketCommand
  return members === true ? runMembers : simulate
}

async function simulate(flags: SimFlags, io: Io): Promise<number> {
  const request = requestOf(flags)
  const seed = request.seed ?? drawSeed(systemRandom)
  const startedMs = systemClock.nowMs()
  const report = runSimulation(request, seed, { shouldStop: progress(request, io) })
  invariant(report !== undefined, 'nobody has stopped the simulation')
  const wallS = (systemClock.nowMs() - startedMs) / MS_PER_SECOND
  if (io.isTerminal === true) io.err(`\r${''.padEnd(60)}\r`)
  if (flags.svg !== undefined) await savePicture(resolve(io.cwd, flags.svg), report)
  io.out(flags.json === true ? json(simulationJson(report)) : simulationText(report))
  io.err(`simulated in ${wallS.toFixed(1)} s\n`)
  return report.violations.length === 0 ? 0 : EXIT_VIOLATION
}

/** The request as the API would get it: one parser knows the bounds. */
function requestOf(flags: SimFlags): SimulationRequest {
  const body: Record<string, unknown> = { verify: flags.verify, user_budget: flags.budget }
  const groups: Record<string, Record<string, number>> = {}
  for (const [name, path] of NUMBERS) {
    const [outer = '', inner] = path.split('.')
    const text = flags[name]
    if (text === undefined) continue
    if (inner === undefined) body[outer] = Number(text)
    else groups[outer] = { ...groups[outer], [inner]: Number(text) }
  }
  const list = flags.list === undefined ? {} : { detail: 'jobs', limit: Number(flags.list) }
  return parseSimulationRequest({ ...body, ...groups, ...list })
}

function progress({ jobs }: SimulationRequest, io: Io): (ended: number) => boolean {
  let shownMs = systemClock.nowMs()
  return (ended) => {
    const nowMs = systemClock.nowMs()
    if (io.isTerminal !== true || nowMs - shownMs < PROGRESS_MS) return false
    shownMs = nowMs
    io.err(`\r${ended === jobs ? 'checking the log' : `${ended} of ${jobs} jobs have ended`}`.padEnd(40))
    return false
  }
}

async function savePicture(path: string, report: SimulationReport): Promise<void> {
  await writeFile(path, plotOf(report)).catch((error: unknown) => {
    throw new FabricError(
      'CF_CONFIG_INVALID',
      { source: 'flag', key: '--svg', file: path, expected: 'a file that can be written' },
      error,
    )
  })
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
