/**
 * `node bench/soak-swarm.ts [--minutes 60] [--nodes 10] [--seed N]`: membership of real daemons on a machine that is far too small.
 *
 * Most of the time more programs spin than there are cores, and nobody who lives may be called dead. In the quiet in between a
 * daemon is killed and started again: how long until every other one has it out, and back. Writes bench/results/soak-swarm.json;
 * exit status 1 when a living peer was evicted or a bound was missed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type SeededRandom, seededRandom } from '../test/support/seeded-random.ts'
import { type SpawnedSwarm, type SwarmNode, startSwarm } from '../test/support/spawned-swarm.ts'
import { allSee, peersOf, tryChat } from '../test/support/swarm-asks.ts'
import { median } from './report.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    nodes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})

const MINUTE_MS = 60_000
const OVERLOAD_MS = 45_000
const CALM_MS = 5_000
const LOOK_MS = 1_000
const POLL_MS = 100
/** Share of the cores that nobody uses while observers are counted as healthy. */
const IDLE_MIN = 0.1
const OUT_MS_MAX = 10_000
const BACK_MS_MAX = 5_000
/** A change that has not come by then is not waited for. */
const CHANGE_MS_MAX = 60_000
const SETTLE_MS_MAX = 120_000
const SPINNERS_PER_CORE = 2
const EVICTIONS_SHOWN = 20

type Figures = {
  looks: number
  suspicions: number
  readonly evictions: string[]
  readonly outMs: number[]
  readonly backMs: number[]
  /** The same while others kept the cores busy: observers that wait for a core are not healthy, and slower by design. */
  readonly starvedOutMs: number[]
  readonly starvedBackMs: number[]
  readonly chats: Map<string, number>
}

/** @returns how long it took; CHANGE_MS_MAX when it did not come */
async function timed(isSo: () => Promise<boolean>, limitMs = CHANGE_MS_MAX): Promise<number> {
  const startMs = performance.now()
  while (performance.now() - startMs < limitMs) {
    if (await isSo()) return performance.now() - startMs
    await sleep(POLL_MS)
  }
  return limitMs
}

/** Asks everybody about everybody: all of them live. */
async function look(swarm: SpawnedSwarm, figures: Figures): Promise<void> {
  const views = await Promise.all(swarm.nodes.map(peersOf))
  for (const [observer, view] of views.entries())
    for (const { id, state } of view) {
      figures.looks += 1
      if (state === 'suspect') figures.suspicions += 1
      if (state === 'dead' || state === 'left') figures.evictions.push(`${observer} has ${id.slice(0, 12)} ${state}`)
    }
}

/** Spinning programs and clients on every node while the others look on. */
async function overload(swarm: SpawnedSwarm, figures: Figures, random: SeededRandom, endMs: number): Promise<void> {
  const spinners = Array.from({ length: availableParallelism() * SPINNERS_PER_CORE }, spin)
  try {
    while (performance.now() < endMs) {
      const edge = swarm.node(random.below(swarm.nodes.length))
      const [outcome] = await Promise.all([
        tryChat(edge, { maxTokens: 24 }).catch((error: unknown) => `broken ${String(error).slice(0, 60)}`),
        look(swarm, figures),
        sleep(LOOK_MS),
      ])
      figures.chats.set(outcome, (figures.chats.get(outcome) ?? 0) + 1)
    }
  } finally {
    for (const spinner of spinners) spinner.kill('SIGKILL')
  }
}

const spinning = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of spinning) child.kill('SIGKILL')
})

function spin(): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'for (;;) {}'], { stdio: 'ignore' })
  spinning.add(child)
  child.once('exit', () => spinning.delete(child))
  return child
}

async function killOne(swarm: SpawnedSwarm, figures: Figures, random: SeededRandom): Promise<void> {
  await sleep(CALM_MS)
  const victim = swarm.node(1 + random.below(swarm.nodes.length - 1))
  const others = swarm.nodes.filter((node) => node !== victim)
  await victim.kill()
  const out = await withIdle(() => timed(() => allSee(others, 'dead', [victim])))
  const outs = out.idle < IDLE_MIN ? figures.starvedOutMs : figures.outMs
  outs.push(out.ms)
  await victim.start()
  const back = await withIdle(() => timed(() => allSee(others, 'alive', [victim])))
  const backs = out.idle < IDLE_MIN ? figures.starvedBackMs : figures.backMs
  backs.push(back.ms)
  await timed(() => allAlive(swarm.nodes), SETTLE_MS_MAX)
  console.error(`out ${Math.round(out.ms)} ms at ${percent(out.idle)} idle, back ${Math.round(back.ms)} ms`)
}

/** @returns also which share of the cores nobody used meanwhile */
async function withIdle(work: () => Promise<number>): Promise<{ readonly ms: number; readonly idle: number }> {
  const before = coreTimes()
  const ms = await work()
  const after = coreTimes()
  return { ms, idle: (after.idle - before.idle) / Math.max(1, after.all - before.all) }
}

function coreTimes(): { readonly idle: number; readonly all: number } {
  const times = cpus().map((core) => core.times)
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)
  return { idle: sum(times.map(({ idle }) => idle)), all: sum(times.flatMap((one) => Object.values(one))) }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function allAlive(nodes: readonly SwarmNode[]): Promise<boolean> {
  return allSee(nodes, 'alive')
}

function resultOf(figures: Figures, minutes: number): object {
  const spread = (values: readonly number[]) => ({
    count: values.length,
    ...(values.length === 0 ? {} : { median: Math.round(median(values)), max: Math.round(Math.max(...values)) }),
  })
  return {
    bench: 'soak-swarm',
    ...{ minutes, nodes: Number(values.nodes), seed: Number(values.seed), spinnersPerCore: SPINNERS_PER_CORE },
    ...{ looks: figures.looks, suspicionsSeen: figures.suspicions, evictionsSeen: figures.evictions.length },
    evictions: figures.evictions.slice(0, EVICTIONS_SHOWN),
    ...{ outMs: spread(figures.outMs), backMs: spread(figures.backMs) },
    ...{
      starvedOutMs: spread(figures.starvedOutMs),
      starvedBackMs: spread(figures.starvedBackMs),
      chats: Object.fromEntries(figures.chats),
    },
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version },
    loadAverage: loadavg().map((value) => Number(value.toFixed(1))),
  }
}

function faultsOf({ evictions, outMs, backMs }: Figures): readonly string[] {
  const late = (what: string, values: readonly number[], max: number): readonly string[] =>
    values.filter((value) => value > max).map((value) => `${what} after ${Math.round(value)} ms`)
  return [
    ...evictions.slice(0, EVICTIONS_SHOWN),
    ...late('out', outMs, OUT_MS_MAX),
    ...late('back', backMs, BACK_MS_MAX),
  ]
}

async function soak(minutes: number): Promise<Figures> {
  const random = seededRandom(Number(values.seed))
  const figures: Figures = {
    looks: 0,
    suspicions: 0,
    evictions: [],
    outMs: [],
    backMs: [],
    starvedOutMs: [],
    starvedBackMs: [],
    chats: new Map(),
  }
  const swarm = await startSwarm({ nodes: Number(values.nodes), validators: 1 })
  try {
    for (const { place } of swarm.nodes.slice(1)) await swarm.join(place)
    console.error(`all see all after ${Math.round(await timed(() => allAlive(swarm.nodes), SETTLE_MS_MAX))} ms`)
    const endMs = performance.now() + minutes * MINUTE_MS
    while (performance.now() < endMs) {
      await overload(swarm, figures, random, Math.min(endMs, performance.now() + OVERLOAD_MS))
      await killOne(swarm, figures, random)
      console.error(`${figures.suspicions} suspect, ${figures.evictions.length} evicted of ${figures.looks}`)
    }
    return figures
  } finally {
    await swarm.stop()
  }
}

const minutes = Number(values.minutes)
const figures = await soak(minutes)
const folder = new URL('./results/', import.meta.url)
mkdirSync(folder, { recursive: true })
writeFileSync(new URL('soak-swarm.json', folder), `${JSON.stringify(resultOf(figures, minutes), null, 2)}\n`)
const faults = faultsOf(figures)
for (const fault of faults) console.error(fault)
process.exitCode = faults.length === 0 ? 0 : 1
