/** What a report plots: earnings and outcomes over virtual time, latencies, draws against weights. */
import { ROLE } from '../../core/roster/roster.ts'
import { PEER_KINDS, type SimulationReport, type SimulationSeries } from '../runtime/simulation.ts'
import type { Ending } from './recorder.ts'
import { fitOf, rounded } from './statistics.ts'
import type { World } from './world.ts'

const SPANS_MAX = 40
const LATENCY_BINS_MAX = 40
const MICRO_PER_CREDIT = 1_000_000
/** Pearson's rule of thumb for a chi-square test. */
const EXPECTED_MIN = 5
const BINS_MAX = 50

export function seriesOf(world: World): SimulationSeries {
  const { recorder, swarm, scheduler } = world
  const spanMs = roundStep(scheduler.nowMs / SPANS_MAX)
  const spans = Math.max(1, Math.ceil(scheduler.nowMs / spanMs))
  const place = (atMs: number): number => Math.min(spans - 1, Math.floor(Math.max(0, atMs - 1) / spanMs))
  const kinds = PEER_KINDS.map((kind) => {
    const peers = [...swarm.peers.values()].filter((peer) => peer.kind === kind)
    return { kind, weight: peers.reduce((sum, { weight }) => sum + weight, 0) }
  })
  return {
    timesMs: Array.from({ length: spans }, (_, span) => (span + 1) * spanMs),
    earned: kinds
      .filter(({ weight }) => weight > 0)
      .map(({ kind, weight }) => {
        const gains = new Array<number>(spans).fill(0)
        for (const earning of recorder.earnings)
          if (earning.kind === kind)
            gains[place(earning.atMs)] = (gains[place(earning.atMs)] ?? 0) + Number(earning.amount)
        let sum = 0
        const perWeight = gains.map((gain) => {
          sum += gain
          return Math.round(sum / weight) / MICRO_PER_CREDIT
        })
        return { kind, perWeight }
      }),
    outcomes: outcomesOf(recorder.endings, spans, place),
    latency: latencyOf(recorder.endings),
    draws: drawsOf(world),
  }
}

/** The next 1, 2 or 5 times a power of ten: steps that a reader can add up. */
function roundStep(ms: number): number {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, ms))))
  return power * ([1, 2, 5].find((factor) => factor * power >= ms) ?? 10)
}

function outcomesOf(
  endings: readonly Ending[],
  spans: number,
  place: (atMs: number) => number,
): SimulationSeries['outcomes'] {
  const series = new Map<string, number[]>()
  for (const { outcome, reason, atMs } of endings) {
    const name = outcome === 'paid' ? 'paid' : `${outcome}: ${reason}`
    const jobs = series.get(name) ?? new Array<number>(spans).fill(0)
    series.set(name, jobs)
    jobs[place(atMs)] = (jobs[place(atMs)] ?? 0) + 1
  }
  return [...series].sort(([a], [b]) => (a < b ? -1 : 1)).map(([outcome, jobs]) => ({ outcome, jobs }))
}

/** Of every job that was settled, in equal bins from zero. */
function latencyOf(endings: readonly Ending[]): SimulationSeries['latency'] {
  const latencies = endings
    .filter(({ outcome }) => outcome !== 'refused')
    .map(({ atMs, submittedMs }) => atMs - submittedMs)
  const maxMs = latencies.reduce((max, ms) => Math.max(max, ms), 0) + 1
  const binMs = roundStep(maxMs / LATENCY_BINS_MAX)
  const jobs = new Array<number>(Math.ceil(maxMs / binMs)).fill(0)
  for (const ms of latencies) jobs[Math.floor(ms / binMs)] = (jobs[Math.floor(ms / binMs)] ?? 0) + 1
  return { binMs, jobs }
}

/** Only the first place is drawn exactly by weight: the ones after it are drawn without it. */
function firstDraws({ swarm, recorder }: World) {
  const workers = swarm.roster.members.filter(({ roles }) => (roles & ROLE.worker) !== 0)
  const weights = workers.reduce((sum, { weight }) => sum + weight, 0)
  return workers.map(({ peer, weight }) => {
    return { weight, seen: recorder.firsts.get(peer) ?? 0, expected: (recorder.admittedCount * weight) / weights }
  })
}

function drawsOf(world: World): SimulationSeries['draws'] {
  const byWeight = Map.groupBy(firstDraws(world), ({ weight }) => weight)
  return [...byWeight]
    .sort(([a], [b]) => a - b)
    .map(([weight, peers]) => ({
      ...{ weight, peers: peers.length, drawn: peers.reduce((sum, { seen }) => sum + seen, 0) },
      expected: rounded(peers.reduce((sum, { expected }) => sum + expected, 0)),
    }))
}

/** Neighbours in the roster share a bin until enough draws are expected of it. @returns null with too few draws to say anything */
export function drawFit(world: World): SimulationReport['draw'] {
  const { admittedCount } = world.recorder
  const enough = Math.max(EXPECTED_MIN, admittedCount / BINS_MAX)
  const bins: { seen: number; expected: number }[] = []
  let open = { seen: 0, expected: 0 }
  for (const { seen, expected } of firstDraws(world)) {
    open = { seen: open.seen + seen, expected: open.expected + expected }
    if (open.expected < enough) continue
    bins.push(open)
    open = { seen: 0, expected: 0 }
  }
  const last = bins.at(-1)
  if (last === undefined || bins.length < 2) return null
  last.seen += open.seen
  last.expected += open.expected
  return { jobs: admittedCount, bins: bins.length, ...fitOf(bins) }
}
