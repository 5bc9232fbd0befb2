/** Keys, their usage and the node's own figures for a control plane over a fake app. */

import { join } from 'node:path'
import type { JobId } from '../../core/ids.ts'
import type { EngineReading, KeyHold, KeySpent, KeyUsage, KeyWish, NodeGauges } from '../../node/runtime/access.ts'
import type { App, JobView } from '../../node/runtime/app.ts'
import type { MeshLoad } from '../../node/runtime/mesh.ts'
import type { Clock } from '../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { ApiKeyFile } from '../../node/stores/api-keys.ts'
import { tempFolder } from './temp-folder.ts'

export const NO_LIMITS: Omit<KeyWish, 'name' | 'role'> = {
  ...{ priority: 'normal', ratePerMinute: null, burst: null, budget: null, budgetPerDay: null, openJobsMax: null },
}

const DISK_MS = 5
const ENGINES: readonly EngineReading[] = [
  {
    ...{ model: 'cfab-tiny', driver: 'native', slotsBusy: 1, waiting: 2, loads: 1, unloads: 0, restarts: 3 },
    ...{ steps: 40, stepMs: 1_500, tokensDecoded: 320, tokensPrefilled: 700, tokensFromCache: 60 },
    residentBytes: 250_000_000,
  },
]

export function keyFile(path = join(tempFolder(), 'api-keys.json'), clock: Clock = systemClock): ApiKeyFile {
  return new ApiKeyFile(path, { clock, random: systemRandom, onFault: () => undefined })
}

/** What a disk would hold: it outlives the control plane that wrote it. */
export class MemoryUsage implements KeyUsage {
  readonly #holds = new Map<string, KeyHold>()
  readonly #spent = new Map<string, KeySpent>()
  readonly #diskMs: number

  constructor(diskMs = DISK_MS) {
    this.#diskMs = diskMs
  }

  holds(): readonly KeyHold[] {
    return [...this.#holds.values()]
  }

  spent(): readonly KeySpent[] {
    return [...this.#spent.values()]
  }

  /** Takes its time, as a disk does: what is not decided before it is decided too late. */
  async reserve(hold: KeyHold): Promise<void> {
    if (this.#diskMs > 0) await systemClock.sleep(this.#diskMs)
    this.#holds.set(hold.id, hold)
  }

  async settle({ id, key, day }: KeyHold, cost: bigint): Promise<void> {
    this.#holds.delete(id)
    if (cost === 0n) return
    for (const row of [null, day]) {
      const earlier = this.#spent.get(`${key} ${row}`)?.amount ?? 0n
      this.#spent.set(`${key} ${row}`, { key, day: row, amount: earlier + cost })
    }
  }
}

/** Makes jobs of the fake app stay open, as long as a test wants, and remembers what the log would: which nonce became which job. */
export class WatchedApp implements NodeGauges {
  readonly app: App
  readonly #nonces = new Map<bigint, JobId>()
  readonly #open = new Set<JobId>()
  #keepsOpen = false
  readonly rejected = new Map<string, number>()

  constructor(app: App) {
    const submit: App['submit'] = async (request, signal) => {
      const handle = await app.submit(request, signal)
      if (request.nonce !== undefined) this.#nonces.set(request.nonce, handle.id)
      if (this.#keepsOpen && !handle.repeated) this.#open.add(handle.id)
      return handle
    }
    this.app = { ...app, submit, job: (id) => this.#asOpen(app.job(id)) }
  }

  /** From now on jobs stay open until `settleAll`. */
  keepOpen(): void {
    this.#keepsOpen = true
  }

  settleAll(): void {
    this.#open.clear()
  }

  openJobs(): number {
    return this.#open.size
  }

  jobOfNonce(nonce: bigint): string | undefined {
    return this.#nonces.get(nonce)
  }

  slots(): { readonly busy: number; readonly total: number } {
    return { busy: 1, total: 8 }
  }

  async engines(): Promise<readonly EngineReading[]> {
    return ENGINES
  }

  audits(): ReadonlyMap<string, number> {
    return new Map()
  }

  rejects(): ReadonlyMap<string, number> {
    return this.rejected
  }

  mesh(): MeshLoad {
    return { links: { dialled: 3, accepted: 2, reverse: 1 }, handlers: 4, bytes: 5_000, handshakes: 6, graylisted: 7 }
  }

  #asOpen(job: JobView | undefined): JobView | undefined {
    if (job === undefined || !this.#open.has(job.id)) return job
    return { ...job, phase: 'executing', cost: null, refund: null, outcome: null, assurance: null, reason: null }
  }
}
