/** What goes wrong in a run, and when: drawn from the seed alone. */
import type { Cluster } from './cluster.ts'
import { CALM } from './network.ts'
import { EDGES, LOG, VALIDATORS, WORKERS } from './world.ts'

export const PROFILES = ['calm', 'lossy', 'crashing', 'parted', 'chaos'] as const
export type Profile = (typeof PROFILES)[number]

const MORTALS = [...EDGES, ...EDGES, ...VALIDATORS, ...WORKERS]
const EVERYBODY = [...EDGES, ...VALIDATORS, ...WORKERS, LOG]

/** Schedules faults until `untilMs` from now; after that `heal` is the caller's. */
export function scheduleFaults(cluster: Cluster, profile: Profile, untilMs: number): void {
  const { prng, scheduler } = cluster
  if (profile === 'calm') return
  const isChaos = profile === 'chaos'
  if (profile === 'lossy' || isChaos) every(cluster, untilMs, 2_000, () => changeWeather(cluster))
  if (profile === 'crashing' || isChaos) {
    cluster.crashPermille = prng.between(1, 40)
    every(cluster, untilMs, 1_500, () => crashOne(cluster))
    every(cluster, untilMs, 3_000, () => stallDisk(cluster))
  }
  if (profile === 'parted' || isChaos) every(cluster, untilMs, 2_000, () => partition(cluster))
  every(cluster, untilMs, 3_000, () => moveClock(cluster))
  for (const worker of cluster.workers.values()) worker.runMsMax = prng.pick([60, 400, 1_500])
  scheduler.after(untilMs, () => {
    cluster.crashPermille = 0
  })
}

function every(cluster: Cluster, untilMs: number, meanMs: number, run: () => void): void {
  const { prng, scheduler } = cluster
  for (let atMs = prng.below(meanMs); atMs < untilMs; atMs += prng.between(1, 2 * meanMs)) scheduler.after(atMs, run)
}

function changeWeather(cluster: Cluster): void {
  const { prng, network } = cluster
  network.faults = prng.chance(250)
    ? CALM
    : {
        dropPermille: prng.pick([0, 20, 80, 250]),
        duplicatePermille: prng.pick([0, 50, 200]),
        slowPermille: prng.pick([0, 50, 200]),
        delayMsMax: prng.pick([5, 30, 120]),
        slowMsMax: prng.between(200, 2_000),
      }
}

function crashOne(cluster: Cluster): void {
  const { prng, scheduler } = cluster
  const node = cluster.node(prng.pick(MORTALS))
  if (!node.isUp) return
  node.crash()
  scheduler.after(prng.between(20, 3_000), () => node.restart())
}

function stallDisk(cluster: Cluster): void {
  const { prng, scheduler, coverage } = cluster
  const { disk } = cluster.node(prng.pick(MORTALS))
  coverage.count('disk stalls')
  disk.syncMsMax = 300
  scheduler.after(prng.between(100, 2_000), () => {
    disk.syncMsMax = 4
  })
}

function partition(cluster: Cluster): void {
  const { prng, network, coverage, trace, scheduler } = cluster
  if (prng.chance(300)) {
    coverage.count('one-way cut')
    network.cut(prng.pick(EVERYBODY), prng.pick(EVERYBODY))
  } else {
    const side = EVERYBODY.filter(() => prng.chance(350))
    coverage.count(side.includes(LOG) ? 'partition with the log' : 'partition')
    trace.say(`partition ${side.join(' ')}`)
    network.partition(side)
  }
  scheduler.after(prng.between(100, 3_500), () => {
    coverage.count('partition healed')
    network.heal()
  })
}

function moveClock(cluster: Cluster): void {
  const { prng, coverage } = cluster
  const name = prng.pick(EVERYBODY)
  coverage.count(name === LOG ? 'log clock moves' : 'clock moves')
  cluster.node(name).clock.offsetMs = prng.between(-1_200, 1_200)
}
