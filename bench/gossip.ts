/** Membership at scale in one process: rounds of news among partial views, detection and cost in a region, against their limits. */
import type { MembersReport, RegionStudy, ViewScenario } from '../node/runtime/simulation-members.ts'
import { roundsAt, shortfalls, simulateMembers } from '../node/simulation/scale/members.ts'
import type { Figure, Result } from './report.ts'

const REQUEST = { regions: 1, peers: 2_000, views: 100_000, lossPermille: 20, dropperPermille: 50 }
const SEED = 7
const P95 = 0.95
/** Rounds until everybody knows, with 25 % loss and 10 % dead, in 95 of 100 runs. */
const ROUNDS_ALLOWED = new Map([
  [10_000, 11],
  [100_000, 13],
])
const MEMORY_MIB_ALLOWED = 2_048
const KIB_PER_MIB = 1_024

export async function gossipBench(runs: number): Promise<Result> {
  const views = simulateMembers({ ...REQUEST, regions: 0, runs }, SEED, () => {})
  const memoryMiB = process.resourceUsage().maxRSS / KIB_PER_MIB
  const regions = simulateMembers({ ...REQUEST, views: 0, runs }, SEED, () => {})
  return gossipResult({ ...regions, views: views.views }, memoryMiB)
}

function gossipResult(report: MembersReport, memoryMiB: number): Result {
  const wrong = shortfalls(report)
  if (wrong.length > 0) throw new Error(wrong.join('; '))
  return {
    bench: 'gossip',
    figures: [
      ...report.views.flatMap(viewFigures),
      ...regionFigures(report.regions),
      { name: 'largest memory of the process, views only', unit: 'MiB', values: [memoryMiB] },
    ],
    ratios: [...report.views.flatMap(viewRatios), { name: 'memory / allowed', value: memoryMiB / MEMORY_MIB_ALLOWED }],
  }
}

function viewFigures({ peers, name, runs }: ViewScenario): readonly Figure[] {
  const of = `${peers} views, ${name}`
  const rounds = (key: 'roundsTo99' | 'roundsTo100') => runs.map((run) => run[key]).filter((value) => value !== null)
  return [
    { name: `${of}: 99 %`, unit: 'rounds', values: rounds('roundsTo99') },
    { name: `${of}: 100 %`, unit: 'rounds', values: rounds('roundsTo100') },
    { name: `${of}: sent`, unit: 'B/node/round', values: runs.map(({ bytesPerNodeRound }) => bytesPerNodeRound) },
  ]
}

function viewRatios(scenario: ViewScenario): Result['ratios'] {
  const allowed = ROUNDS_ALLOWED.get(scenario.peers)
  const rounds = roundsAt(scenario, 'roundsTo100', P95)
  if (allowed === undefined || rounds === null || scenario.churnPermille > 0) return []
  return [{ name: `${scenario.peers} views: rounds at p95 / allowed`, value: rounds / allowed }]
}

function regionFigures(regions: readonly RegionStudy[]): readonly Figure[] {
  const of = (name: string, unit: string, value: (region: RegionStudy) => number | null): Figure => ({
    name: `region of ${regions[0]?.peers}: ${name}`,
    unit,
    values: regions.map(value).filter((found) => found !== null),
  })
  return [
    of('sent while quiet', 'B/node/s', ({ quiet }) => quiet.bytesPerNodeSecond),
    of('a record known to 99 %', 'ms', ({ spread }) => spread.p99Ms),
    of('a dead peer out for half', 'ms', ({ crash }) => crash.medianMs),
    of('a dead peer out for 99 %', 'ms', ({ crash }) => crash.p99Ms),
    of('a restarted peer back for all', 'ms', ({ restarts }) => restarts.lastMs),
    of('living peers called dead', 'pairs', ({ falsePositives }) => falsePositives),
  ]
}
