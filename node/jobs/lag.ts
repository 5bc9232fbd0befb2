/** Waiting for what the log is about to say: a message may overtake the entry that it speaks of. */
import type { Clock } from '../runtime/ports.ts'

const POLL_MS = 10
/** An entry is with a follower within a round trip or two; whoever waits here has a caller with a deadline of its own. */
const LAG_MS_MAX = 1_500

/** @returns once it holds, or after a bounded wait: the caller then says what is missing */
export async function whenLogged(holds: () => boolean, clock: Clock, signal: AbortSignal): Promise<void> {
  if (holds()) return
  const endMs = clock.nowMs() + LAG_MS_MAX
  while (!holds() && !signal.aborted && clock.nowMs() < endMs) await clock.sleep(POLL_MS, signal).catch(() => {})
}
