/** Keeps one compute host with one model alive: loads, notices its end, starts another with backoff, loads again. */
import { FabricError } from '../../core/errors.ts'
import type { LoadedModel, LoadRequest } from '../../models/backend.ts'
import type { Clock } from '../runtime/ports.ts'
import { LATE, withinMs } from './deadline.ts'
import { HostProcess } from './host-process.ts'

/** `starting`: nothing is loaded yet. `failed`: restarts keep failing and go on, but nobody waits for them any more. */
export type HostState = 'starting' | 'ready' | 'restarting' | 'failed'

export type SupervisorOptions = {
  readonly loadMs: number
  /** How long a call waits for a host that is being started again. */
  readonly readyMs: number
  /** A host that owes an answer and says nothing for this long is killed; every step of the engine is a sign of life. */
  readonly silenceMs: number
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** A host that lived this long starts the backoff anew. */
  readonly stableMs: number
  readonly failedAfterCount: number
  readonly stderr: 'ignore' | 'inherit'
}

export type HostEvent =
  | { readonly type: 'host_ready'; readonly pid: number; readonly loadMs: number; readonly engineId: string }
  | { readonly type: 'host_lost'; readonly pid: number; readonly how: string; readonly callsFailed: number }
  | { readonly type: 'host_silent'; readonly pid: number; readonly silenceMs: number }
  | { readonly type: 'host_not_restarted'; readonly attempt: number; readonly code: string }

export type HostPorts = {
  readonly clock: Clock
  readonly onEvent: (event: HostEvent) => void
  /** What hosts have found out of files and libraries, so that later ones need not: shared by all of a daemon. */
  readonly findings?: Map<string, string>
}

const NS_PER_MS = 1_000_000n
/** Hosts that a first load may cost: with the pauses between them some ten seconds. */
const LOAD_ATTEMPTS_MAX = 8
const WATCHES_PER_SILENCE = 4

export class HostSupervisor {
  readonly #options: SupervisorOptions
  readonly #ports: HostPorts
  readonly #closing = new AbortController()
  /** Counts explicit loads: whatever belongs to an earlier one stops by itself. */
  #epoch = 0
  #state: HostState = 'starting'
  #host: HostProcess | undefined
  #model: LoadedModel | undefined
  #request: LoadRequest | undefined
  #verified = ''
  #ready = Promise.withResolvers<void>()
  #readySinceNs = 0n
  #attempt = 0

  constructor(options: SupervisorOptions, ports: HostPorts) {
    this.#options = options
    this.#ports = ports
  }

  get state(): HostState {
    return this.#state
  }

  /** The host that has the model, if any just now. */
  get ready(): HostProcess | undefined {
    return this.#state === 'ready' ? this.#host : undefined
  }

  /**
   * Starts a fresh host with the model; the one before, if any, is killed.
   *
   * @throws FabricError CF_MODEL_*; CF_WORKER_HOST_LOST when another load came in between; CF_CONTROL_SHUTTING_DOWN
   */
  async load(request: LoadRequest): Promise<LoadedModel> {
    this.#refuseClosed()
    const epoch = ++this.#epoch
    this.#state = 'starting'
    this.#model = undefined
    this.#attempt = 0
    await this.#host?.kill()
    this.#refuseClosed()
    if (epoch !== this.#epoch) throw new FabricError('CF_WORKER_HOST_LOST')
    this.#request = request
    // What is known of another file says nothing of this one, and all of the libraries.
    this.#verified = this.#ports.findings?.get(request.path) ?? this.#ports.findings?.get(request.format) ?? ''
    return this.#firstUp(epoch, request)
  }

  /**
   * A host may be killed while it loads, by a machine that is short of memory for a moment; a file that kills its host does so each time.
   *
   * @throws CF_MODEL_LOAD_FAILED, reason `host_lost`, when every attempt ended like that
   */
  async #firstUp(epoch: number, request: LoadRequest): Promise<LoadedModel> {
    for (;;) {
      try {
        return await this.#bringUp(epoch, request)
      } catch (error) {
        if (!isHostLost(error) || this.#attempt + 1 >= LOAD_ATTEMPTS_MAX || this.#isOver(epoch)) throw error
        if (!(await this.#sleep(this.#backoffMs())) || this.#isOver(epoch)) throw error
        this.#attempt += 1
      }
    }
  }

  /** @throws FabricError CF_MODEL_UNKNOWN when none was loaded; CF_CONTROL_SHUTTING_DOWN */
  model(): LoadedModel {
    this.#refuseClosed()
    if (this.#model === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    return this.#model
  }

  /** @throws FabricError as `model`, or CF_WORKER_HOST_LOST when no host is back in time; the signal's reason */
  async whenReady(signal?: AbortSignal): Promise<HostProcess> {
    this.model()
    signal?.throwIfAborted()
    if (this.#state === 'restarting') {
      const waited = await withinMs(this.#ports.clock, this.#options.readyMs, this.#ready.promise, signal)
      if (waited === LATE) throw new FabricError('CF_WORKER_HOST_LOST')
    }
    if (this.ready === undefined) throw new FabricError('CF_WORKER_HOST_LOST')
    return this.ready
  }

  /** @param drained  what is worth waiting for before the host is killed; new calls are refused at once */
  async close(drained: Promise<unknown> = Promise.resolve()): Promise<void> {
    if (!this.#closing.signal.aborted) this.#closing.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    this.#ready.resolve()
    await drained
    await this.#host?.kill()
  }

  #refuseClosed(): void {
    if (this.#closing.signal.aborted) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
  }

  #isOver(epoch: number): boolean {
    return epoch !== this.#epoch || this.#closing.signal.aborted
  }

  async #bringUp(epoch: number, request: LoadRequest): Promise<LoadedModel> {
    const { clock, onEvent } = this.#ports
    const startedNs = clock.monotonicNs()
    const host = new HostProcess({ stderr: this.#options.stderr, nowNs: () => clock.monotonicNs() })
    this.#host = host
    try {
      this.#model = await this.#loadOn(host, request)
    } catch (error) {
      await host.kill()
      throw error
    }
    if (this.#isOver(epoch)) throw new FabricError('CF_WORKER_HOST_LOST')
    this.#state = 'ready'
    this.#readySinceNs = clock.monotonicNs()
    this.#ready.resolve()
    void host.exited.then((how) => this.#lost(epoch, host, how))
    void this.#watch(host)
    const loadMs = Number((this.#readySinceNs - startedNs) / NS_PER_MS)
    onEvent({ type: 'host_ready', pid: host.pid, loadMs, engineId: this.#model.engineId })
    return this.#model
  }

  async #loadOn(host: HostProcess, request: LoadRequest): Promise<LoadedModel> {
    const asked = host.ask(
      (call) => ({ type: 'load', call, request, verified: this.#verified }),
      (frame) => (frame.type === 'loaded' ? frame : undefined),
    )
    const loaded = await withinMs(this.#ports.clock, this.#options.loadMs, asked).catch((error: unknown) => {
      const isLost = error instanceof FabricError && error.code === 'CF_WORKER_HOST_LOST'
      throw isLost ? new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'host_lost' }, error) : error
    })
    if (loaded === LATE)
      throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'deadline', loadMs: this.#options.loadMs })
    this.#verified = loaded.verified
    for (const name of [request.path, request.format]) this.#ports.findings?.set(name, loaded.verified)
    return loaded.model
  }

  #lost(epoch: number, host: HostProcess, how: string): void {
    if (this.#isOver(epoch)) return
    const { clock, onEvent } = this.#ports
    this.#state = 'restarting'
    this.#ready = Promise.withResolvers()
    const livedMs = (clock.monotonicNs() - this.#readySinceNs) / NS_PER_MS
    if (livedMs >= BigInt(this.#options.stableMs)) this.#attempt = 0
    onEvent({ type: 'host_lost', pid: host.pid, how, callsFailed: host.callCount })
    void this.#revive(epoch)
  }

  /** Never gives up: a machine that is short of memory now may have some later. */
  async #revive(epoch: number): Promise<void> {
    while (!this.#isOver(epoch) && this.#request !== undefined) {
      const isSlept = await this.#sleep(this.#backoffMs())
      this.#attempt += 1
      if (!isSlept || this.#isOver(epoch)) return
      try {
        await this.#bringUp(epoch, this.#request)
        return
      } catch (error) {
        if (!(error instanceof FabricError)) throw error
        if (this.#isOver(epoch)) return
        this.#ports.onEvent({ type: 'host_not_restarted', attempt: this.#attempt, code: error.code })
        if (this.#attempt >= this.#options.failedAfterCount) this.#giveUpWaiting()
      }
    }
  }

  #giveUpWaiting(): void {
    this.#state = 'failed'
    this.#ready.resolve()
  }

  #backoffMs(): number {
    return Math.min(this.#options.backoffMaxMs, this.#options.backoffMinMs * 2 ** this.#attempt)
  }

  async #watch(host: HostProcess): Promise<void> {
    const { silenceMs } = this.#options
    const limitNs = BigInt(silenceMs) * NS_PER_MS
    while (host === this.ready && (await this.#sleep(silenceMs / WATCHES_PER_SILENCE))) {
      if (host !== this.ready || host.silentNs < limitNs) continue
      this.#ports.onEvent({ type: 'host_silent', pid: host.pid, silenceMs })
      await host.kill()
    }
  }

  /** @returns false when the supervisor was closed meanwhile */
  async #sleep(ms: number): Promise<boolean> {
    const { signal } = this.#closing
    return this.#ports.clock.sleep(ms, signal).then(
      () => true,
      (error: unknown) => {
        if (!signal.aborted) throw error
        return false
      },
    )
  }
}

function isHostLost(error: unknown): boolean {
  return error instanceof FabricError && error.code === 'CF_MODEL_LOAD_FAILED' && error.detail['reason'] === 'host_lost'
}
