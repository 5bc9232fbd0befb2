/**
 * Drives all sequences of one context together: one step is one batch that holds every active sequence.
 *
 * A step decodes one token of every running sequence in one batch, and then reads the next chunks of prompts in another: a prompt's
 * committed chunk is what one forward pass really read.
 *
 * Why not a loop for each sequence: such loops miss each other's batches, the engine then decodes half-full ones, and the
 * throughput falls to a third.
 */
import type { FabricError } from '../core/errors.ts'
import type { TokenBatch } from './backend.ts'
import type { CallBatch } from './frames.ts'
import type { Candidates, Progress, Run, Step } from './run.ts'
import { EXACT_CHUNK_TOKENS } from './schedule.ts'

/** What the driver needs of an engine; slots are 0..slotCount-1. */
export interface StepEngine {
  readonly slotCount: number
  /** Calls made in one turn of the event loop are computed as one batch. */
  evaluate(slot: number, step: Step): Promise<readonly Candidates[]>
  /** Forgets the slot's tokens. */
  clear(slot: number): Promise<void>
}

type Active = { readonly run: Run; readonly slot: number; pending: Step | undefined; cancelled: boolean }
type Planned = { readonly active: Active; readonly slot: number; readonly step: Step }
/** A run ended for a reason of its own. */
export type OnFailure = (call: number, failure: FabricError) => void

export class Lockstep {
  readonly #engine: StepEngine
  readonly #emit: (batches: readonly CallBatch[]) => void
  readonly #fail: OnFailure
  /** In order of arrival, so that the oldest prompt is read first. */
  #active: Active[] = []
  #waiting: Run[] = []
  #running = false
  #settled: (() => void)[] = []
  #batches: CallBatch[] = []
  tokensDecoded = 0
  tokensPrefilled = 0
  /** Forward passes, and what they took, milliseconds. */
  passes = 0
  passMs = 0

  /** @param emit  called after every forward pass with all that it produced, also when that is nothing: a sign of life */
  constructor(engine: StepEngine, emit: (batches: readonly CallBatch[]) => void, fail: OnFailure) {
    this.#engine = engine
    this.#emit = emit
    this.#fail = fail
  }

  get slotsBusy(): number {
    return this.#active.length
  }

  get jobsWaiting(): number {
    return this.#waiting.length
  }

  add(run: Run): void {
    this.#waiting.push(run)
    this.#wake()
  }

  /** Ends a run within one step; unknown or ended ones are none of our business. */
  cancel(call: number): void {
    this.#cancelWhere((run) => run.call === call)
  }

  /** Resolves when every generation that was running or waiting has said its last words. */
  async abort(): Promise<void> {
    this.#cancelWhere((run) => run.kind === 'generate')
    while (this.#batches.length > 0 || this.#active.some(({ cancelled }) => cancelled)) await this.#afterStep()
  }

  #cancelWhere(matches: (run: Run) => boolean): void {
    const leaving = this.#waiting.filter(matches)
    this.#waiting = this.#waiting.filter((run) => !matches(run))
    for (const run of leaving) this.#say(run, 0, run.cancel())
    for (const active of this.#active) if (matches(active.run)) active.cancelled = true
    this.#wake()
  }

  #afterStep(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#settled.push(resolve)) : Promise.resolve()
  }

  #wake(): void {
    if (this.#running) return
    this.#running = true
    void this.#loop()
  }

  /** An engine failure is not caught: the process ends with it, because no sequence's state can be trusted after that. */
  async #loop(): Promise<void> {
    while (this.#active.length + this.#waiting.length + this.#batches.length > 0) await this.#step()
    this.#running = false
    this.#settle()
  }

  async #step(): Promise<void> {
    const ending = this.#active.filter(({ cancelled }) => cancelled)
    for (const { run, slot } of ending) this.#say(run, slot, run.cancel())
    await this.#free(ending)
    this.#fill()
    const planned = this.#plan()
    const isPrompt = ({ step }: Planned): boolean => step.ids.length > 1
    for (const together of [planned.filter((one) => !isPrompt(one)), planned.filter(isPrompt)])
      if (together.length > 0) await this.#pass(together)
    if (planned.length === 0) this.#flush()
    this.#settle()
  }

  async #pass(planned: readonly Planned[]): Promise<void> {
    const startedMs = performance.now()
    const results = await Promise.all(planned.map(({ slot, step }) => this.#engine.evaluate(slot, step)))
    this.passes += 1
    this.passMs += performance.now() - startedMs
    const ended = planned.filter(({ active, step }, index) => this.#take(active, step, results[index] ?? []))
    this.#flush()
    await this.#free(ended.map(({ active }) => active))
  }

  /** Lowest free slot first: the engine splits a batch whose sequence ids have gaps. */
  #fill(): void {
    for (let slot = 0; slot < this.#engine.slotCount && this.#waiting.length > 0; slot++) {
      if (this.#active.some((active) => active.slot === slot)) continue
      const run = this.#waiting.shift()
      if (run !== undefined) this.#active.push({ run, slot, pending: undefined, cancelled: false })
    }
  }

  /**
   * Every decoding sequence, and one prompt chunk, or as many short ones as do not change each other's bits.
   *
   * Why so few: a long prompt would hold up the tokens of all others.
   */
  #plan(): readonly Planned[] {
    let read = 0
    const planned: Planned[] = []
    for (const active of this.#active) {
      const step = active.pending ?? active.run.next()
      active.pending = step
      const tokens = step.ids.length > 1 ? step.ids.length : 0
      if (tokens > 0 && read > 0 && read + tokens > EXACT_CHUNK_TOKENS) continue
      read += tokens
      active.pending = undefined
      planned.push({ active, slot: active.slot, step })
    }
    return planned
  }

  #take(active: Active, step: Step, candidates: readonly Candidates[]): boolean {
    const progress = active.run.take(candidates)
    if (step.ids.length > 1) this.tokensPrefilled += step.ids.length
    this.tokensDecoded += progress.batch?.ids.length ?? 0
    this.#say(active.run, active.slot, progress)
    if (progress.failure !== undefined) this.#fail(active.run.call, progress.failure)
    return progress.ended
  }

  #say(run: Run, slot: number, { batch }: Progress): void {
    if (batch === undefined) return
    const said: TokenBatch = { slot, ...batch }
    this.#batches.push({ call: run.call, batch: said })
  }

  #flush(): void {
    const batches = this.#batches
    this.#batches = []
    this.#emit(batches)
  }

  async #free(leaving: readonly Active[]): Promise<void> {
    if (leaving.length === 0) return
    this.#active = this.#active.filter((active) => !leaving.includes(active))
    await Promise.all(leaving.map(({ slot }) => this.#engine.clear(slot)))
  }

  #settle(): void {
    const settled = this.#settled
    this.#settled = []
    for (const resolve of settled) resolve()
  }
}
