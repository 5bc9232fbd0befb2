/** A job's progress for one listener, which always ends in exactly one outcome. */
import type { JobHandle, JobOutcome, JobProgress } from '../runtime/app.ts'
import type { Clock } from '../runtime/ports.ts'

const LATE = Symbol('late')

/**
 * Yields what happens to the job, and `pending` in place of an outcome that is not in within `outcomeWaitMs` of the finish.
 *
 * Why only from the finish on: the text may take long and is bounded by the job's own deadline; a client that has the text must not wait
 * for validators.
 */
export async function* follow(
  handle: JobHandle,
  outcomeWaitMs: number,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<JobProgress, void> {
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  const events = handle.progress(both)[Symbol.asyncIterator]()
  let late: Promise<typeof LATE> | undefined
  try {
    for (;;) {
      const next = events.next()
      // When the wait ends first, nobody is left to see this promise fail.
      if (late !== undefined) next.catch(() => undefined)
      const step = await (late === undefined ? next : Promise.race([next, late]))
      signal.throwIfAborted()
      if (step === LATE || step.done === true) return yield { type: 'outcome', ...pendingOutcome(handle) }
      yield step.value
      if (step.value.type === 'outcome') return
      if (step.value.type === 'finish') late = lateAfter(outcomeWaitMs, clock, both)
    }
  } finally {
    stop.abort()
  }
}

async function lateAfter(ms: number, clock: Clock, signal: AbortSignal): Promise<typeof LATE> {
  // A listener that leaves aborts the sleep; nobody awaits this any more then.
  await clock.sleep(ms, signal).catch(() => undefined)
  return LATE
}

function pendingOutcome(handle: JobHandle): JobOutcome {
  return { outcome: 'pending', assurance: '', reason: '', receiptId: handle.id, cost: 0n, refund: 0n }
}
