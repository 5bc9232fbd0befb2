/** One run: everything about it follows from its seed. */
import { InvariantError } from '../../core/invariant.ts'
import { Prng } from '../../node/simulation/prng.ts'
import type { BugName } from './bugs.ts'
import { Cluster, type ClusterOptions } from './cluster.ts'
import type { Counts } from './coverage.ts'
import { PROFILES, scheduleFaults } from './faults.ts'
import { VALIDATOR_KINDS } from './validator.ts'
import { Violation } from './violation.ts'
import { WORKER_KINDS, type WorkerKind } from './worker.ts'
import { LAYOUTS, START_MS, VALIDATORS, WORKERS } from './world.ts'

export type SeedResult = {
  readonly seed: number
  readonly hash: string
  readonly counts: Counts
  readonly violation: { readonly rule: string; readonly message: string } | undefined
  /** Kept only when asked for. */
  readonly trace: readonly string[]
}

const FAULTS_MS_MAX = 9_000
const WISHES_MS = 4_000
/** By then the last deadline, its grace and the slowest retry have passed. */
const END_MS = 40_000
const SLICE_MS = 500

export function runSeed(
  seed: number,
  options: { readonly bug?: BugName | undefined; readonly keepsTrace?: boolean } = {},
): SeedResult {
  const draw = new Prng(seed + 0x5eed)
  const cluster = new Cluster({ ...clusterOptions(seed, draw), ...options })
  let violation: SeedResult['violation']
  try {
    run(cluster, draw)
  } catch (error) {
    violation = violationOf(error)
    cluster.trace.say(`violation: ${violation.rule}: ${violation.message}`)
  }
  const { trace, coverage, scheduler } = cluster
  trace.mix(scheduler.stepCount)
  coverage.count('events', scheduler.stepCount)
  coverage.count('virtual seconds', Math.round((scheduler.nowMs - START_MS) / 1_000))
  return { seed, hash: trace.hash, counts: coverage.counts(), violation, trace: trace.lines }
}

function run(cluster: Cluster, draw: Prng): void {
  const { scheduler, client, coverage } = cluster
  const profile = draw.pick(PROFILES)
  const faultsMs = profile === 'calm' ? 0 : draw.between(2_000, FAULTS_MS_MAX)
  coverage.count(`profile: ${profile}`)
  scheduleFaults(cluster, profile, faultsMs)
  client.plan(draw.between(1, 4), WISHES_MS)
  scheduler.runUntil(START_MS + Math.max(faultsMs, WISHES_MS))
  cluster.heal()
  while (scheduler.nowMs < START_MS + END_MS && !cluster.isQuiet()) scheduler.runUntil(scheduler.nowMs + SLICE_MS)
  cluster.finish()
}

function violationOf(error: unknown): { readonly rule: string; readonly message: string } {
  if (error instanceof Violation) return { rule: error.rule, message: error.message }
  if (error instanceof InvariantError) return { rule: 'core-invariant', message: error.stack ?? error.message }
  throw error
}

function clusterOptions(seed: number, draw: Prng): ClusterOptions {
  const liar = draw.pick(VALIDATOR_KINDS)
  const second = draw.pick(['honest', 'honest', 'splitter', 'heir'] as const)
  return {
    seed,
    layout: draw.pick(LAYOUTS),
    vestMs: draw.pick([0n, 5_000n]),
    isTight: draw.chance(250),
    edges: { e1: second, e0: second === 'heir' ? 'heir' : 'honest' },
    validators: { [draw.pick(VALIDATORS)]: liar },
    workers: Object.fromEntries(WORKERS.map((name) => [name, workerKind(draw)])),
  }
}

function workerKind(draw: Prng): WorkerKind {
  return draw.chance(650) ? 'honest' : draw.pick(WORKER_KINDS)
}
