/** Kills one daemon again and again under load, then holds what is left against what was promised. */
import { fileURLToPath } from 'node:url'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { childrenOf, isAlive, ready, type SpawnedNode, startNode, startProgram } from '../support/spawned-node.ts'
import { Book } from './book.ts'
import { type Books, checkEnd } from './check.ts'
import { applyLoad, fulfil, type LoadTarget, loadTarget, statusOf } from './load.ts'
import { POINTS, type Point } from './points.ts'

export type CampaignOptions = {
  readonly home: string
  readonly kills: number
  readonly seed: number
  /** Told after each kill. */
  readonly progress: (line: string) => void
}
export type CampaignResult = {
  readonly seed: number
  readonly kills: number
  /** How often the daemon died at each point; `load` and `start` are kills at a random time. */
  readonly killsAt: Readonly<Record<string, number>>
  /** Jobs that a start found open, summed over all starts. */
  readonly recovered: number
  readonly promised: number
  readonly counts: Readonly<Record<string, number>>
  readonly books: Books
  readonly recoveryMs: number
  readonly totalMs: number
  readonly violations: readonly string[]
}

type Plan =
  | { readonly type: 'point'; readonly point: Point; readonly passing: number }
  | { readonly type: 'load' | 'start'; readonly afterMs: number }

const VICTIM = fileURLToPath(new URL('./victim.ts', import.meta.url))
/** One kill in so many comes from outside, at a random time. */
const RANDOM_EVERY = 5
/** Recovery passes a point a few times, the load after it many times: both are to be met. */
const PASSING_MAX = { recovery: 4, load: 40 }
/** Needs a dead compute host each time. */
const SELDOM: ReadonlySet<Point> = new Set(['failure-journaled'])
const LOAD_MS_MAX = 1_500
const START_MS_MAX = 900
/** A point that is not passed by then is given up for this life. */
const LIFE_MS_MAX = 8_000
const HOST_KILL_EVERY_MS = 150
/** Jobs live ten minutes at most; recovery, not their deadline, must end them. */
const RECOVERY_MS_MAX = 60_000
const ASK_AGAIN_MS = 200
const ORPHAN_MS_MAX = 5_000
const VIOLATIONS_MAX = 20

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const startedMs = performance.now()
  const campaign = new Campaign(options)
  for (const [index, plan] of plansOf(options).entries()) {
    await campaign.life(plan, index)
    if (campaign.book.violations.length >= VIOLATIONS_MAX) break
  }
  const { books, recoveryMs } = await campaign.end()
  const { book, killsAt, recovered } = campaign
  return {
    ...{ seed: options.seed, kills: [...killsAt.values()].reduce((sum, count) => sum + count, 0) },
    ...{ killsAt: Object.fromEntries(killsAt), recovered, promised: book.promised.size },
    ...{ counts: Object.fromEntries([...book.counts].sort()), books, recoveryMs },
    ...{ totalMs: Math.round(performance.now() - startedMs), violations: book.violations },
  }
}

/** Every point in turn, in an order of its own each round, so that a short campaign also meets different ones. */
function plansOf({ kills, seed }: CampaignOptions): readonly Plan[] {
  const random = seededRandom(seed)
  const plans: Plan[] = []
  let round: Point[] = []
  while (plans.length < kills) {
    if (plans.length % RANDOM_EVERY === RANDOM_EVERY - 1) {
      const type = random.below(3) === 0 ? 'start' : 'load'
      plans.push({ type, afterMs: random.below(type === 'start' ? START_MS_MAX : LOAD_MS_MAX) })
      continue
    }
    if (round.length === 0) round = [...POINTS]
    const [point] = round.splice(random.below(round.length), 1)
    const passing = 1 + random.below(random.below(2) === 0 ? PASSING_MAX.recovery : PASSING_MAX.load)
    if (point !== undefined) plans.push({ type: 'point', point, passing: SELDOM.has(point) ? 1 : passing })
  }
  return plans
}

class Campaign {
  readonly book = new Book()
  readonly killsAt = new Map<string, number>()
  recovered = 0
  readonly #options: CampaignOptions
  readonly #random: SeededRandom

  constructor(options: CampaignOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed ^ 0x10ad)
  }

  /** One life of the daemon, from its start to its violent end. */
  async life(plan: Plan, index: number): Promise<void> {
    const { home } = this.#options
    const args = plan.type === 'point' ? [plan.point, String(plan.passing)] : []
    const early = plan.type === 'start' ? { killAfterMs: plan.afterMs } : {}
    const victim = await startProgram([VICTIM, home, ...args], early).catch((error: unknown) => String(error))
    // It may be dead before it says where it listens.
    if (typeof victim === 'string') return this.#died(plan, victim, index, [])
    const dead = new AbortController()
    void victim.exited.then(() => dead.abort())
    const timer = setTimeout(() => victim.kill('SIGKILL'), LIFE_MS_MAX)
    const hosts = await this.#torment(victim, plan, dead.signal)
    const ended = await victim.exited
    clearTimeout(timer)
    if (ended.signal !== 'SIGKILL')
      this.book.violate(`the daemon ended by itself: ${JSON.stringify(ended)} ${victim.err()}`)
    await this.#died(plan, victim.out(), index, hosts)
  }

  /** @returns the compute hosts that were seen */
  async #torment(victim: SpawnedNode, plan: Plan, dead: AbortSignal): Promise<readonly number[]> {
    const alive = await ready(victim).then(
      () => true,
      () => false,
    )
    const hosts = childrenOf(victim.pid)
    if (!alive || dead.aborted) return hosts
    const target = await loadTarget(victim.address, this.#options.home).catch(() => undefined)
    if (target === undefined) return hosts
    const load = applyLoad(target, this.book, this.#random, dead)
    if (plan.type === 'load') setTimeout(() => victim.kill('SIGKILL'), plan.afterMs)
    // What makes a job fail: its host dies too.
    if (plan.type === 'point' && plan.point === 'failure-journaled') await killHosts(victim.pid, dead)
    await load
    return hosts
  }

  async #died(plan: Plan, out: string, index: number, hosts: readonly number[]): Promise<void> {
    const reached = /killed at (\S+)/.exec(out)?.[1]
    const name = reached ?? (plan.type === 'point' ? `missed ${plan.point}` : plan.type)
    this.killsAt.set(name, (this.killsAt.get(name) ?? 0) + 1)
    this.recovered += Number(/found (\d+) open/.exec(out)?.[1] ?? 0)
    this.#options.progress(
      `kill ${index + 1}: ${name}, ${this.book.promised.size} promised, ${this.book.lost.length} lost`,
    )
    const untilMs = performance.now() + ORPHAN_MS_MAX
    while (hosts.some(isAlive)) {
      if (performance.now() > untilMs) return this.book.violate(`a compute host outlived its daemon: ${hosts.join()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Leaves the daemon alone: it must finish every job by itself, and then everything must add up. */
  async end(): Promise<{ readonly books: Books; readonly recoveryMs: number }> {
    const node = await startNode(this.#options.home)
    try {
      await ready(node)
      const startedMs = performance.now()
      const status = await statusOf(node.address)
      const target = await loadTarget(node.address, this.#options.home)
      await this.#idle(node, startedMs)
      const recoveryMs = Math.round(performance.now() - startedMs)
      await this.#askAgain(target)
      await this.#idle(node, performance.now())
      return { books: await checkEnd(node.address, status.swarm, this.book), recoveryMs }
    } finally {
      await node.stop()
    }
  }

  /**
   * Every question that got no answer is asked once more: all of them must be answerable now. A daemon that is ready for one model may
   * still be loading the other, and says so; it may not break a connection.
   */
  async #askAgain(target: LoadTarget): Promise<void> {
    const broken = this.book.counts.get('answers lost') ?? 0
    const untilMs = performance.now() + RECOVERY_MS_MAX
    const never = new AbortController().signal
    while (this.book.lost.length > 0 && performance.now() < untilMs) {
      const lost = this.book.lost.splice(0)
      await Promise.all(lost.map((wish) => fulfil(target, this.book, wish, never)))
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS))
    }
    for (const { key } of this.book.lost) this.book.violate(`${key} gets no answer from a daemon at rest`)
    if ((this.book.counts.get('answers lost') ?? 0) > broken) this.book.violate('a daemon at rest broke a connection')
  }

  async #idle(node: SpawnedNode, sinceMs: number): Promise<void> {
    while ((await statusOf(node.address)).jobs.open > 0) {
      if (performance.now() - sinceMs > RECOVERY_MS_MAX)
        return this.book.violate('jobs are open a minute after the start')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

async function killHosts(daemon: number, dead: AbortSignal): Promise<void> {
  while (!dead.aborted) {
    await new Promise((resolve) => setTimeout(resolve, HOST_KILL_EVERY_MS))
    for (const host of childrenOf(daemon)) process.kill(host, 'SIGKILL')
  }
}
