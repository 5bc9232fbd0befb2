/**
 * Runs simulations in a thread of their own, one at a time: they are minutes of arithmetic, and the daemon has clients to answer.
 *
 * Why stopping is asked and not forced: between two events a simulation is at rest, so its thread lives on for the next one.
 */
import type { Piscina } from 'piscina'
import { FabricError } from '../../core/errors.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import type { Simulated, SimulationRequest, Simulator } from '../runtime/simulation.ts'
import { drawSeed } from './prng.ts'
import type { Task } from './thread.ts'

export type PoolOptions = { readonly wallMsMax: number }
export type PoolPorts = { readonly clock: Clock; readonly random: Random }

/** An idle thread keeps its admitted keys for the next simulation, and goes after this. */
const IDLE_MS = 30_000
/** Of the thread's heap: the largest simulation takes about half of it. */
const HEAP_MIB_MAX = 1_536

export class SimulationPool implements Simulator {
  readonly #options: PoolOptions
  readonly #ports: PoolPorts
  readonly #closed = new AbortController()
  #pool: Piscina<Task, Simulated | undefined> | undefined
  #isBusy = false

  constructor(options: PoolOptions, ports: PoolPorts) {
    this.#options = options
    this.#ports = ports
  }

  async simulate(request: SimulationRequest, signal: AbortSignal): Promise<Simulated> {
    signal.throwIfAborted()
    this.#closed.signal.throwIfAborted()
    if (this.#isBusy) throw new FabricError('CF_CONTROL_SIMULATION_BUSY')
    this.#isBusy = true
    const ended = new AbortController()
    const deadline = new AbortController()
    const { wallMsMax } = this.#options
    void this.#ports.clock.sleep(wallMsMax, ended.signal).then(
      () => deadline.abort(new FabricError('CF_CONTROL_SIMULATION_DEADLINE', { wallMsMax })),
      () => undefined,
    )
    try {
      return await this.#run(request, AbortSignal.any([signal, this.#closed.signal, deadline.signal]))
    } finally {
      this.#isBusy = false
      ended.abort()
    }
  }

  /** Stops what runs; safe to call twice. */
  async close(): Promise<void> {
    this.#closed.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    await this.#pool?.destroy()
  }

  async #run(request: SimulationRequest, signal: AbortSignal): Promise<Simulated> {
    const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    const ask = (): void => {
      Atomics.store(stop, 0, 1)
    }
    signal.addEventListener('abort', ask, { once: true })
    try {
      const pool = await this.#open()
      const seed = request.seed ?? drawSeed(this.#ports.random)
      const simulated = await pool.run({ request, seed, stop }, { name: 'simulate' })
      if (simulated !== undefined) return simulated
      throw signal.reason
    } catch (error) {
      // A pool that is destroyed reports its own end: the caller wants to know why.
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', ask)
    }
  }

  async #open(): Promise<Piscina<Task, Simulated | undefined>> {
    // Loaded here and not above: most daemons never simulate.
    const { Piscina } = await import('piscina')
    this.#closed.signal.throwIfAborted()
    this.#pool ??= new Piscina<Task, Simulated | undefined>({
      filename: new URL('./thread.ts', import.meta.url).href,
      ...{ minThreads: 0, maxThreads: 1, idleTimeout: IDLE_MS },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
    })
    return this.#pool
  }
}
