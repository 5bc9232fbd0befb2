/** What an account holds, what of it may be spent, and how earned credit vests. */
import { LEDGER_LIMITS } from './bounds.ts'

/** Credit that is in the balance already and cannot be spent before its time. */
export type Vesting = { readonly amount: bigint; readonly vestsAtMs: bigint }

export type Account = {
  /** Micro-credits; only the mint's is below zero. Held and unvested credit is part of it. */
  readonly balance: bigint
  readonly held: bigint
  /** By time, soonest first; past entries are dropped whenever the list changes. */
  readonly vesting: readonly Vesting[]
}

export const EMPTY_ACCOUNT: Account = { balance: 0n, held: 0n, vesting: [] }
const DAY_MS = 86_400_000n

/** Credit that has been earned and cannot be spent yet. */
export function unvested(account: Account, nowMs: bigint): bigint {
  let sum = 0n
  for (const { amount, vestsAtMs } of account.vesting) if (vestsAtMs > nowMs) sum += amount
  return sum
}

/** What the account may spend or hold now: neither held nor unvested credit. */
export function spendable(account: Account, nowMs: bigint): bigint {
  return account.balance - account.held - unvested(account, nowMs)
}

/** Adds vesting credit to the list, in order of time, and keeps the list within its bound. */
export function addVesting(vesting: readonly Vesting[], added: Vesting, nowMs: bigint): readonly Vesting[] {
  const kept = vesting.filter((entry) => entry.vestsAtMs > nowMs)
  if (added.vestsAtMs <= nowMs) return kept
  const place = kept.findLastIndex((entry) => entry.vestsAtMs <= added.vestsAtMs)
  const same = kept[place]
  if (same?.vestsAtMs === added.vestsAtMs) {
    kept[place] = { amount: same.amount + added.amount, vestsAtMs: same.vestsAtMs }
  } else {
    kept.splice(place + 1, 0, added)
  }
  return coarsened(kept)
}

/**
 * Takes credit out of the vesting list, latest first.
 *
 * Why so: a correction may claw back what has not vested yet; that is what vesting is for.
 */
export function takeVesting(vesting: readonly Vesting[], amount: bigint, nowMs: bigint): readonly Vesting[] {
  const kept = vesting.filter((entry) => entry.vestsAtMs > nowMs)
  let left = amount
  while (left > 0n) {
    const last = kept.pop()
    if (last === undefined) break
    if (last.amount > left) kept.push({ amount: last.amount - left, vestsAtMs: last.vestsAtMs })
    left -= last.amount
  }
  return kept
}

/** Beyond the bound, entries of one day (then two, four, ...) become one that vests at that period's end: never sooner than promised. */
function coarsened(vesting: readonly Vesting[]): readonly Vesting[] {
  let entries = vesting
  for (let gridMs = DAY_MS; entries.length > LEDGER_LIMITS.vestingEntryCountMax; gridMs *= 2n) {
    const merged = new Map<bigint, bigint>()
    for (const { amount, vestsAtMs } of entries) {
      const atMs = ((vestsAtMs + gridMs - 1n) / gridMs) * gridMs
      merged.set(atMs, (merged.get(atMs) ?? 0n) + amount)
    }
    entries = [...merged].map(([vestsAtMs, amount]) => ({ amount, vestsAtMs }))
  }
  return entries
}
