/**
 * The soak: `npm run soak -- [--warm 1000] [--jobs 3000] [--kills 20] [--rounds 24] [--seed N] [--only leak,hang-ups,kills] [--save FILE]`.
 *
 * Memory of a compute host over thousands of jobs, with each driver; 64 clients that hang up on one node, over and over; compute
 * hosts that crash under load. Exit status 1 when a host grows, a stream has no end, or a credit is lost.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { closeHosts } from '../support/host.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { withNode } from '../support/spawned-node.ts'
import { type LeakResult, measureLeak } from './leak.ts'
import { lineThrough, medianOf, type Point } from './line.ts'
import { residentBytesOf } from './resident.ts'
import { checkCalm, hangUps, killHosts, type Tally } from './storms.ts'

const { values } = parseArgs({
  options: {
    warm: { type: 'string', default: '1000' },
    jobs: { type: 'string', default: '3000' },
    kills: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '24' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    only: { type: 'string', default: 'leak,hang-ups,kills' },
    save: { type: 'string' },
  },
})

const BYTES_PER_JOB_MAX = 1_024
const CLIENTS = 64
const STREAMS = 8
const SLOTS = 8
const READY_MS_MAX = 3_000
/** After each death the next host is waited for twice as long: a node that lost four in a row is not like one that lost none. */
const KILLS_OF_NODE = 4
const NODE_FLAGS = ['--threads', '1', '--slots', String(SLOTS)]

type Part = { readonly faults: readonly string[]; readonly figures: object }

/** Grown is what is above the bound also at the lower end of what the measurement allows. */
async function leak(driver: LeakResult['driver'], seed: number): Promise<Part> {
  const figures = await measureLeak({ driver, warmJobs: Number(values.warm), jobs: Number(values.jobs), seed })
  const { slope, standardError, r2 } = figures.bytesPerJob
  const line = `${slope.toFixed(0)} ± ${(2 * standardError).toFixed(0)} bytes a job (R² ${r2.toFixed(2)})`
  console.error(`${driver}: ${line}; resident ${JSON.stringify(figures.residentBytes)}, ${figures.ms} ms`)
  const isGrown = slope - 2 * standardError > BYTES_PER_JOB_MAX
  return { faults: isGrown ? [`the ${driver} host grows by ${line}`] : [], figures }
}

/** The daemon's own memory is looked at after every round. */
async function hangUpPart(seed: number): Promise<Part> {
  const tally: Tally = new Map()
  const random = seededRandom(seed)
  return inNode(async (node) => {
    const faults: string[] = []
    const points: Point[] = []
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      faults.push(...(await hangUps(node, { clients: CLIENTS, rounds: 1, random }, tally)))
      points.push({ x: round * CLIENTS, y: residentBytesOf(node.pid) })
    }
    const { books, faults: left } = await checkCalm(node, SLOTS)
    const half = points.slice(points.length >> 1)
    const daemonBytesPerChat = half.length > 2 ? lineThrough(half) : undefined
    const figures = {
      tally: Object.fromEntries(tally),
      books,
      daemonBytes: points.map(({ y }) => y),
      daemonBytesPerChat,
    }
    console.error(`hang-ups: ${JSON.stringify(figures)}`)
    return { faults: [...faults, ...left], figures }
  })
}

async function killPart(seed: number): Promise<Part> {
  const tally: Tally = new Map()
  const random = seededRandom(seed)
  const [faults, readyMs]: [string[], number[]] = [[], []]
  for (let left = Number(values.kills); left > 0; left -= KILLS_OF_NODE)
    await inNode(async (node) => {
      const kills = Math.min(left, KILLS_OF_NODE)
      const storm = await killHosts(node, { clients: STREAMS, kills, random }, tally)
      const calm = await checkCalm(node, SLOTS)
      faults.push(...storm.faults, ...calm.faults)
      readyMs.push(...storm.readyMs)
      console.error(`kills: ready after ${storm.readyMs.join(', ')} ms; ${JSON.stringify(calm.books)}`)
    })
  const slow = readyMs.filter((ms) => ms > READY_MS_MAX).map((ms) => `a host was ready only after ${ms} ms`)
  const figures = { tally: Object.fromEntries(tally), readyMs, median: medianOf(readyMs), max: Math.max(...readyMs) }
  console.error(`kills: ${JSON.stringify(figures)}`)
  return { faults: [...faults, ...slow], figures }
}

async function inNode<T>(work: Parameters<typeof withNode<T>>[1]): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), 'cfab-soak-'))
  try {
    return await withNode(home, work, ...NODE_FLAGS)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

const seed = Number(values.seed)
const wanted = values.only.split(',')
const parts: Readonly<Record<string, () => Promise<Part>>> = {
  ...(wanted.includes('leak') ? { native: () => leak('native', seed), lockstep: () => leak('lockstep', seed) } : {}),
  ...(wanted.includes('hang-ups') ? { hangUps: () => hangUpPart(seed) } : {}),
  ...(wanted.includes('kills') ? { kills: () => killPart(seed) } : {}),
}
console.error(`seed ${seed}`)
const done: [string, Part][] = []
for (const [name, run] of Object.entries(parts)) done.push([name, await run()])
await closeHosts()
const faults = done.flatMap(([, part]) => part.faults)
const machine = { cpus: availableParallelism(), platform: `${process.platform} ${process.arch}`, node: process.version }
const result = { machine, seed, ...Object.fromEntries(done.map(([name, { figures }]) => [name, figures])), faults }
console.log(JSON.stringify(result, null, 2))
if (values.save !== undefined) {
  mkdirSync(dirname(values.save), { recursive: true })
  writeFileSync(values.save, `${JSON.stringify(result, null, 2)}\n`)
}
if (faults.length > 0) process.exitCode = 1
