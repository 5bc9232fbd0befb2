/**
 * How much of its budget each key holds and has spent.
 *
 * The order that loses nothing: a hold is on disk before what it pays for is asked of the ledger, and it leaves the disk in the same
 * transaction that adds what was spent. A crash in between leaves a hold too many, never one too few; the log says after the restart
 * what became of it.
 */
import { FabricError } from '../../core/errors.ts'
import type { KeyHold, KeyUsage } from '../runtime/access.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { errorFields, type Logger } from '../runtime/telemetry.ts'
import type { Caller } from './caller.ts'

type Account = { ever: bigint; readonly days: Map<number, bigint>; readonly holds: Map<string, KeyHold> }
export type BudgetPorts = {
  readonly usage: KeyUsage
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}
/** Micro-credits. */
export type KeyFigures = { readonly spent: bigint; readonly spentToday: bigint; readonly held: bigint }

const DAY_MS = 86_400_000
const HOLD_ID_BYTES = 16
/** A clock that steps back over midnight finds the days that it left. */
const DAYS_KEPT = 8

export class Budgets {
  readonly #ports: BudgetPorts
  readonly #accounts = new Map<string, Account>()

  constructor(ports: BudgetPorts) {
    this.#ports = ports
    for (const { key, day, amount } of ports.usage.spent()) {
      const account = this.#account(key)
      if (day === null) account.ever = amount
      else account.days.set(day, amount)
    }
    for (const hold of ports.usage.holds()) this.#account(hold.key).holds.set(hold.id, hold)
  }

  /** Holds of an earlier run: nobody has said yet what became of them. */
  unsettled(): readonly KeyHold[] {
    return [...this.#accounts.values()].flatMap(({ holds }) => [...holds.values()])
  }

  figures(key: string): KeyFigures {
    const account = this.#accounts.get(key)
    if (account === undefined) return { spent: 0n, spentToday: 0n, held: 0n }
    return { spent: account.ever, spentToday: account.days.get(this.#today()) ?? 0n, held: heldBy(account) }
  }

  /**
   * Reserves budget; when it resolves, a crash remembers it.
   *
   * The check and the entry in memory are one step that nothing can come between: of many requests at once only as many get through as
   * the budget covers.
   *
   * @throws CF_CONTROL_BUDGET_EXHAUSTED; CF_STORE_* when the disk refuses, and nothing is reserved then
   */
  async reserve(caller: Caller, amount: bigint, nonce: bigint | null): Promise<KeyHold> {
    const hold = this.#hold(caller, amount, nonce)
    this.#check(caller, amount, hold.day)
    const { holds } = this.#account(hold.key)
    holds.set(hold.id, hold)
    try {
      await this.#ports.usage.reserve(hold)
      return hold
    } catch (error) {
      holds.delete(hold.id)
      throw error
    }
  }

  /** For a key without a budget: what its job costs is a figure, not a bound, and waits for no disk. */
  note(caller: Caller): KeyHold {
    return this.#hold(caller, 0n, null)
  }

  /** What was held comes back but for the cost. */
  settle(hold: KeyHold, cost: bigint): void {
    const account = this.#account(hold.key)
    account.holds.delete(hold.id)
    if (cost > 0n) {
      account.ever += cost
      account.days.set(hold.day, (account.days.get(hold.day) ?? 0n) + cost)
      forgetDays(account.days)
    }
    const { usage, log } = this.#ports
    // The hold on disk outlives a failure and is settled again after a restart.
    usage.settle(hold, cost).catch((error: unknown) => log.error('key_usage_unsaved', errorFields(error)))
  }

  #check({ id, limits }: Caller, amount: bigint, day: number): void {
    const account = this.#account(id)
    const held = heldBy(account)
    const heldToday = heldBy(account, day)
    const left = [
      ...(limits.budget === null ? [] : [{ period: 'ever', left: limits.budget - account.ever - held }]),
      ...(limits.budgetPerDay === null
        ? []
        : [{ period: 'day', left: limits.budgetPerDay - (account.days.get(day) ?? 0n) - heldToday }]),
    ]
    const short = left.find((budget) => budget.left < amount)
    if (short !== undefined)
      throw new FabricError('CF_CONTROL_BUDGET_EXHAUSTED', {
        ...{ period: short.period, amount, budgetLeft: short.left > 0n ? short.left : 0n },
      })
  }

  #hold({ id: key }: Caller, amount: bigint, nonce: bigint | null): KeyHold {
    const id = Buffer.from(this.#ports.random.bytes(HOLD_ID_BYTES)).toString('hex')
    return { id, key, amount, day: this.#today(), nonce }
  }

  #today(): number {
    return Math.floor(this.#ports.clock.nowMs() / DAY_MS)
  }

  #account(key: string): Account {
    let account = this.#accounts.get(key)
    if (account === undefined) {
      account = { ever: 0n, days: new Map(), holds: new Map() }
      this.#accounts.set(key, account)
    }
    return account
  }
}

function heldBy({ holds }: Account, day?: number): bigint {
  let sum = 0n
  for (const hold of holds.values()) if (day === undefined || hold.day === day) sum += hold.amount
  return sum
}

function forgetDays(days: Map<number, bigint>): void {
  const old = [...days.keys()].sort((a, b) => b - a).slice(DAYS_KEPT)
  for (const day of old) days.delete(day)
}
