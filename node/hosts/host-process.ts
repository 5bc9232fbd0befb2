/** One life of a compute host: the child process, the calls that wait for it, and its end. */
import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FabricError } from '../../core/errors.ts'
import { type CallBatch, type DaemonFrame, type HostFrame, parseHostFrame } from '../../models/frames.ts'
import { readStepBody } from '../../models/step-body.ts'
import { BatchQueue } from './batch-queue.ts'

/** Source runs as it is; a package ships JavaScript in its place. */
const ENTRY = fileURLToPath(new URL(`../../models/host${extname(import.meta.url)}`, import.meta.url))
/**
 * The runtime's helper threads compete with the engine's: a single stream decodes up to twice as fast without them. The host
 * collects garbage when the engine's piles up, and a small young generation keeps it to a third of the memory.
 */
const FLAGS = ['--v8-pool-size=0', '--single-threaded-gc', '--expose-gc', '--max-semi-space-size=8']
const THREADPOOL = { UV_THREADPOOL_SIZE: '1' }

export type CallFrame = Exclude<HostFrame, { type: 'step' | 'tokens' }>
type Waiting = { readonly take: (frame: CallFrame) => void; readonly fail: (error: Error) => void }

export type HostProcessOptions = {
  /** Where the engine's complaints go. */
  readonly stderr: 'ignore' | 'inherit'
  readonly nowNs: () => bigint
}

export class HostProcess {
  readonly #child: ChildProcess
  readonly #nowNs: () => bigint
  readonly #waiting = new Map<number, Waiting>()
  readonly #streams = new Map<number, BatchQueue>()
  #nextCall = 1
  #lastSignNs: bigint
  #isGone = false
  /** Resolves when the process is gone, with a signal's name or an exit code. */
  readonly exited: Promise<string>

  constructor(options: HostProcessOptions) {
    this.#nowNs = options.nowNs
    this.#lastSignNs = options.nowNs()
    this.#child = fork(ENTRY, [], {
      serialization: 'advanced',
      execArgv: FLAGS,
      env: hostEnvironment(),
      stdio: ['ignore', 'ignore', options.stderr, 'ipc'],
    })
    this.#child.on('message', (value) => this.#receive(value))
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`))
      this.#child.on('error', () => this.#child.pid === undefined && resolve('not started'))
    })
    void this.exited.then(() => this.#end())
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Calls that fail when the host dies now. */
  get callCount(): number {
    return this.#waiting.size + this.#streams.size
  }

  /** How long a host that owes an answer has said nothing. */
  get silentNs(): bigint {
    return this.callCount === 0 ? 0n : this.#nowNs() - this.#lastSignNs
  }

  /**
   * Sends a frame and waits for its answer.
   *
   * @param make    gets the call number
   * @param read    picks the value out of the expected kind of answer
   * @param signal  gives up waiting; the host is told to cancel
   * @throws        FabricError as the host sent it, or CF_WORKER_HOST_LOST; the signal's reason
   */
  async ask<T>(
    make: (call: number) => DaemonFrame,
    read: (frame: CallFrame) => T | undefined,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const take = (frame: CallFrame): void => {
      const value = read(frame)
      if (frame.type === 'failed') reject(new FabricError(frame.code, frame.detail))
      else if (value === undefined) this.#end('SIGKILL')
      else resolve(value)
    }
    const call = this.#begin()
    const leave = (): void => {
      this.send({ type: 'cancel', call })
      reject(signal?.reason)
    }
    this.#waiting.set(call, { take, fail: reject })
    signal?.addEventListener('abort', leave, { once: true })
    try {
      // What cannot be sent, because it is nested too deeply, throws here.
      this.send(make(call))
      return await promise
    } finally {
      this.#waiting.delete(call)
      signal?.removeEventListener('abort', leave)
    }
  }

  /** Starts a call that is answered by batches; `close` forgets it. */
  open(make: (call: number) => DaemonFrame): {
    readonly queue: BatchQueue
    readonly cancel: () => void
    readonly close: () => void
  } {
    const call = this.#begin()
    const queue = new BatchQueue()
    const close = (): void => void this.#streams.delete(call)
    this.#streams.set(call, queue)
    try {
      this.send(make(call))
    } catch (error) {
      close()
      throw error
    }
    return { queue, cancel: () => this.send({ type: 'cancel', call }), close }
  }

  send(frame: DaemonFrame): void {
    // A process that could not be started has no channel at all.
    if (this.#isGone || this.#child.pid === undefined) this.#end()
    // A channel that is just closing says so to the callback; `exited` follows and fails the calls.
    else this.#child.send(frame, () => undefined)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  #begin(): number {
    if (this.callCount === 0) this.#lastSignNs = this.#nowNs()
    return this.#nextCall++
  }

  /** A host that says what it should not is not reasoned with. */
  #receive(value: unknown): void {
    const frame = parseHostFrame(value)
    this.#lastSignNs = this.#nowNs()
    if (frame === undefined) this.#end('SIGKILL')
    else if (frame.type === 'step') this.#takeStep(frame.batches)
    else if (frame.type === 'tokens') this.#takeBody(frame.body)
    else this.#waiting.get(frame.call)?.take(frame)
    if (frame?.type === 'failed') this.#streams.get(frame.call)?.fail(new FabricError(frame.code, frame.detail))
  }

  #takeBody(body: Uint8Array): void {
    const batches = readStepBody(body)
    if (batches === undefined) this.#end('SIGKILL')
    else this.#takeStep(batches)
  }

  #takeStep(batches: readonly CallBatch[]): void {
    for (const { call, batch } of batches) this.#streams.get(call)?.push(batch)
  }

  #end(signal?: 'SIGKILL'): void {
    this.#isGone = true
    if (signal !== undefined) this.#child.kill(signal)
    for (const { fail } of this.#waiting.values()) fail(new FabricError('CF_WORKER_HOST_LOST'))
    for (const queue of this.#streams.values()) queue.fail(new FabricError('CF_WORKER_HOST_LOST'))
  }
}

/** What the daemon was started with, less its own settings: keys have no business in the engine's process. */
function hostEnvironment(): NodeJS.ProcessEnv {
  const isOurs = (name: string): boolean => name.startsWith('CFAB_') || name === 'NODE_OPTIONS'
  const kept = Object.entries(process.env).filter(([name]) => !isOurs(name))
  return { ...Object.fromEntries(kept), ...THREADPOOL }
}
