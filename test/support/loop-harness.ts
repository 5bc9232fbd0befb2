/** A job loop with a journal and effects that the test ends by hand, under a clock that it moves. */
import { invariant } from '../../core/invariant.ts'
import { type Effect, effectKey, type Job, type JobEvent } from '../../core/job/job.ts'
import { JobLoop, type LoopPorts, type Performed } from '../../node/runtime/loop.ts'
import { type JobRun, NOW_MS } from './job-run.ts'
import { type ManualClock, manualClock, settle } from './manual-clock.ts'

type Started = {
  readonly job: Job
  readonly effect: Effect
  readonly signal: AbortSignal
  readonly end: (performed: Performed) => void
  readonly fail: (error: unknown) => void
}

/** A loop whose journal and effects the test ends by hand. */
export class LoopHarness {
  readonly clock: ManualClock = manualClock(NOW_MS)
  /** What happened, in order. */
  readonly log: string[] = []
  readonly started: Started[] = []
  readonly journaled: Job[] = []
  readonly fatal: unknown[] = []
  readonly loop: JobLoop
  /** Set to make writes wait for `release`. */
  slow = false
  #release: (() => void)[] = []

  constructor(jobCountMax = 4) {
    const ports: LoopPorts = {
      clock: this.clock,
      journal: async (job) => {
        this.log.push(`journal ${job.phase}`)
        if (this.slow) await new Promise<void>((resolve) => this.#release.push(resolve))
        this.journaled.push(job)
        this.log.push(`journaled ${job.phase}`)
      },
      perform: (job, effect, signal) =>
        new Promise((end, fail) => {
          this.log.push(`perform ${effectKey(effect)}`)
          this.started.push({ job, effect, signal, end, fail })
        }),
      changed: (before, after) => void this.log.push(`changed ${before.phase} ${after.phase}`),
      fatal: (error) => void this.fatal.push(error),
    }
    this.loop = new JobLoop({ jobCountMax, retryMs: 100, retryMsMax: 400, tickMs: 1_000 }, ports)
  }

  release(): Promise<void> {
    const waiting = this.#release
    this.#release = []
    for (const go of waiting) go()
    return settle()
  }

  get writesWaiting(): number {
    return this.#release.length
  }

  /** The newest run of an effect. */
  run(key: string): Started {
    const found = this.started.findLast(({ effect }) => effectKey(effect) === key)
    invariant(found !== undefined, `${key} was started`)
    return found
  }

  count(line: string): number {
    return this.log.filter((other) => other === line).length
  }

  async dispatch(run: JobRun, ...events: readonly JobEvent[]): Promise<Job | undefined> {
    for (const event of events) this.loop.dispatch(run.id, event)
    await settle()
    return this.loop.job(run.id)
  }
}

export function adopted(run: JobRun, jobCountMax = 4): LoopHarness {
  const harness = new LoopHarness(jobCountMax)
  harness.loop.adopt(run.job)
  return harness
}
