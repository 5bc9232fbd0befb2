/** The simulation of membership at scale: regions of full members, one after another, then partial views. */
import type { MembersReport, MembersRequest, RegionStudy, ViewScenario } from '../../runtime/simulation-members.ts'
import { type RegionStudyOptions, studyPartition, studyRegion } from './region-study.ts'
import { studyView } from './view-study.ts'

const CRASH_PERMILLE = 10
const RESTART_COUNT = 5
const CUT_PERMILLE = 300
/** What a partition costs to compute grows with the square of its peers. */
const CUT_PEERS_MAX = 300
const JOB_COUNT = 250
const LOSS_PERMILLE = 250
const DEAD_PERMILLE = 100
const DROPPER_PERMILLE = 100
const CHURN_PERMILLE = 5
const WARM_ROUNDS = 20
/** All views run a quarter as often as a tenth of them. */
const LARGE_SHARE = 4
const SEED_STEP = 7_919

type Settled = Omit<MembersRequest, 'seed'>

/**
 * @param progress  told what has ended
 * @see docs/SIMULATION.md#membership-at-scale
 */
export function simulateMembers(
  { seed: _, ...request }: MembersRequest,
  seed: number,
  progress: (done: string) => void,
): MembersReport {
  const regions: RegionStudy[] = []
  for (let place = 0; place < request.regions; place += 1) {
    regions.push(studyRegion(regionOf(request, seedOf(seed, place))))
    progress(`region ${place + 1} of ${request.regions}`)
  }
  const cut = regionOf({ ...request, peers: Math.min(request.peers, CUT_PEERS_MAX) }, seed)
  const partition = request.regions === 0 ? null : studyPartition(cut, CUT_PERMILLE)
  const views: ViewScenario[] = []
  for (const scenario of scenariosOf(request)) {
    const runs = scenario.peers > tenthOf(request) ? Math.ceil(request.runs / LARGE_SHARE) : request.runs
    views.push(viewOf(scenario, runs, seed, progress))
  }
  return { seed, request, regions, partition, views }
}

function regionOf({ peers, lossPermille, dropperPermille }: Settled, seed: number): RegionStudyOptions {
  return {
    seed,
    peers,
    lossPermille,
    dropperPermille,
    crashPermille: CRASH_PERMILLE,
    restarts: RESTART_COUNT,
    jobs: JOB_COUNT,
  }
}

function scenariosOf({ views }: Settled): readonly Omit<ViewScenario, 'runs'>[] {
  const faults = { lossPermille: LOSS_PERMILLE, deadPermille: DEAD_PERMILLE, dropperPermille: 0, churnPermille: 0 }
  if (views === 0) return []
  const tenth = tenthOf({ views })
  return [
    { name: 'loss and dead', peers: tenth, ...faults },
    {
      name: 'loss, dead, churn and droppers',
      peers: tenth,
      ...faults,
      dropperPermille: DROPPER_PERMILLE,
      churnPermille: CHURN_PERMILLE,
    },
    { name: 'loss and dead', peers: views, ...faults },
  ]
}

function tenthOf({ views }: Pick<Settled, 'views'>): number {
  return Math.max(1, Math.round(views / 10))
}

function viewOf(
  scenario: Omit<ViewScenario, 'runs'>,
  runs: number,
  seed: number,
  progress: (done: string) => void,
): ViewScenario {
  const warmRounds = scenario.churnPermille > 0 ? WARM_ROUNDS : 0
  const studies = Array.from({ length: runs }, (_, run) => {
    const study = studyView({ ...scenario, warmRounds, seed: seedOf(seed, run) })
    progress(`run ${run + 1} of ${runs} of ${scenario.peers} partial views`)
    return study
  })
  return { ...scenario, runs: studies }
}

function seedOf(seed: number, place: number): number {
  return (seed + SEED_STEP * place) >>> 0
}

/** The smallest number of rounds that this share of the runs did with; null when some needed more than were run. */
export function roundsAt({ runs }: ViewScenario, of: 'roundsTo99' | 'roundsTo100', share: number): number | null {
  const rounds = runs.map((run) => run[of] ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b)
  const found = rounds[Math.max(0, Math.ceil(share * rounds.length) - 1)]
  return found === undefined || !Number.isFinite(found) ? null : found
}

/** What should not have been: news that did not reach everybody, and dead whom somebody healthy did not notice. */
export function shortfalls({ regions, partition, views }: MembersReport): readonly string[] {
  const found: string[] = []
  if (partition?.healedMs === null) found.push('the partition did not heal')
  for (const { seed, spread, crash } of regions) {
    if (spread.reached < spread.of) found.push(`region ${seed}: a record reached ${spread.reached} of ${spread.of}`)
    if (crash.seen < crash.observations)
      found.push(`region ${seed}: ${crash.seen} of ${crash.observations} saw the dead`)
  }
  for (const scenario of views)
    if (roundsAt(scenario, 'roundsTo100', 1) === null)
      found.push(`${scenario.peers} views: news did not reach everybody`)
  return found
}
