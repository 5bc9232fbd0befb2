/** The one log of a simulated swarm: applies entries in the order in which they come, and checks its own chain. */

import type { Applied, Refused } from '../../core/log/apply.ts'
import { auditBooks, buildEntry, replay } from '../../core/log/apply.ts'
import { type EntryKind, entryHash } from '../../core/log/entry.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import type { MoneyChecker } from './check-money.ts'
import type { Rules } from './rules.ts'
import type { Violations } from './violations.ts'

/** Applied between two looks at the caller's wish to stop. */
const REPLAY_ENTRIES = 64

export type LogWatcher = (applied: Applied, state: LogState) => void

export class SimulatedLog {
  readonly state: LogState
  readonly entries: Uint8Array[] = []
  readonly counts = new Map<EntryKind, number>()
  readonly #apply: Rules['applyEntry']
  readonly #money: MoneyChecker
  readonly #violations: Violations
  readonly #watch: LogWatcher
  /** As the real log does: the same proposal again gives the first result. */
  readonly #proposed = new Map<string, Applied | Refused>()

  constructor(genesis: Genesis, rules: Rules, money: MoneyChecker, violations: Violations, watch: LogWatcher) {
    this.state = createState(genesis)
    this.#apply = rules.applyEntry
    this.#money = money
    this.#violations = violations
    this.#watch = watch
  }

  /** @param key  names the proposal among all */
  propose(key: string, kind: EntryKind, body: Uint8Array, nowMs: number): Applied | Refused {
    const earlier = this.#proposed.get(key)
    if (earlier !== undefined) return earlier
    const { head } = this.state
    const { bytes, hash, entry } = buildEntry(this.state, kind, body, BigInt(nowMs))
    const result = this.#apply(this.state, bytes)
    this.#proposed.set(key, result)
    if (result.status === 'refused') return result
    this.entries.push(bytes)
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    const follows = entry.previous === head.hash && entry.index === head.index + 1n && entry.timeMs >= head.timeMs
    const isHead = this.state.head.hash === hash && hash === entryHash(this.state.swarmId, bytes)
    if (!follows || !isHead) this.#violations.found('log-chain', `entry ${entry.index} does not follow the one before`)
    this.#money.applied(result, this.state)
    this.#watch(result, this.state)
    return result
  }

  /**
   * The log from its beginning, under the real rules, ends with the same head, books and jobs.
   *
   * @param shouldStop  asked between slices of the log; true ends the check
   */
  checkReplay(shouldStop: () => boolean) {
    const again = createState(this.state.genesis)
    for (let start = 0; start < this.entries.length; start += REPLAY_ENTRIES) {
      if (shouldStop()) return
      const replayed = replay(again, this.entries.slice(start, start + REPLAY_ENTRIES))
      if (replayed.status === 'broken')
        return this.#violations.found('log-replays', `entry ${replayed.index}: ${replayed.refused.reason}`)
    }
    const [books, booksAgain] = [auditBooks(this.state), auditBooks(again)]
    const sameBooks = books.mint === booksAgain.mint && books.accounts === booksAgain.accounts
    const sameAccounts = [...this.state.accounts.entries()].every(([id, { balance, held }]) => {
      const other = again.accounts.get(id)
      return other?.balance === balance && other.held === held
    })
    const sameJobs = [...this.state.jobs.entries()].every(([id, { phase }]) => again.jobs.get(id)?.phase === phase)
    if (again.head.hash !== this.state.head.hash || !sameBooks || !sameAccounts || !sameJobs)
      this.#violations.found('log-replays', 'a replay of the log ends elsewhere')
  }
}
