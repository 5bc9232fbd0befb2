/** The rules of the ledger: double entry, linked groups all-or-nothing, no account but the mint below zero, held credit cannot be spent. */
import { type AccountId, type JobId, MINT_ACCOUNT } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { type Account, addVesting, EMPTY_ACCOUNT, spendable, takeVesting } from './account.ts'
import { LEDGER_LIMITS } from './bounds.ts'
import type { TransferDraft } from './transfer.ts'

/** Money that one job has reserved and not yet paid or given back. */
export type Hold = { readonly debit: AccountId; readonly left: bigint }

/** Where balances and holds live. `applyTransfers` writes only when the whole group is accepted. */
export interface Books {
  account(id: AccountId): Account | undefined
  setAccount(id: AccountId, account: Account): void
  hold(jobId: JobId): Hold | undefined
  setHold(jobId: JobId, hold: Hold): void
}

/** In order of precedence. */
export const TRANSFER_REFUSALS = [
  'too_many_transfers',
  'amount_out_of_range',
  'hold_exists',
  'hold_unknown',
  'hold_closed',
  'hold_mismatch',
  'hold_exceeded',
  'insufficient_credit',
  'balance_out_of_range',
] as const
export type TransferRefusal = (typeof TRANSFER_REFUSALS)[number]
export type TransferStatus = 'ok' | TransferRefusal

/**
 * Applies a linked group: every transfer or none.
 *
 * @param nowMs  log time of the entry that carries the group
 * @returns      'ok', or why the first transfer that fails does; nothing was written then
 */
export function applyTransfers(books: Books, transfers: readonly TransferDraft[], nowMs: bigint): TransferStatus {
  if (transfers.length > LIMITS.linkedTransferCountMax) return 'too_many_transfers'
  const group = new Group(books, nowMs)
  for (const transfer of transfers) {
    const status = group.apply(transfer)
    if (status !== 'ok') return status
  }
  group.write()
  return 'ok'
}

/** The accounts and holds that a group has touched, until all of it is accepted. */
class Group {
  readonly #books: Books
  readonly #nowMs: bigint
  readonly #accounts = new Map<AccountId, Account>()
  readonly #holds = new Map<JobId, Hold>()

  constructor(books: Books, nowMs: bigint) {
    this.#books = books
    this.#nowMs = nowMs
  }

  apply(transfer: TransferDraft): TransferStatus {
    if (transfer.amount <= 0n || transfer.amount > LIMITS.amountMicroMax) return 'amount_out_of_range'
    switch (transfer.op) {
      case 'hold':
        return this.#reserve(transfer)
      case 'post':
        return this.#post(transfer)
      case 'void':
        return this.#release(transfer)
      case 'direct':
        return this.#move(transfer)
    }
  }

  write(): void {
    for (const [id, account] of this.#accounts) this.#books.setAccount(id, account)
    for (const [id, hold] of this.#holds) this.#books.setHold(id, hold)
  }

  #account(id: AccountId): Account {
    return this.#accounts.get(id) ?? this.#books.account(id) ?? EMPTY_ACCOUNT
  }

  #hold(jobId: JobId | null): Hold | undefined {
    return jobId === null ? undefined : (this.#holds.get(jobId) ?? this.#books.hold(jobId))
  }

  #reserve({ jobId, debit, amount }: TransferDraft): TransferStatus {
    if (jobId === null) return 'hold_unknown'
    if (this.#hold(jobId) !== undefined) return 'hold_exists'
    const account = this.#account(debit)
    // A hold is a promise to pay: not even the mint may promise what it has not.
    if (spendable(account, this.#nowMs) < amount) return 'insufficient_credit'
    this.#accounts.set(debit, { ...account, held: account.held + amount })
    this.#holds.set(jobId, { debit, left: amount })
    return 'ok'
  }

  #post(transfer: TransferDraft): TransferStatus {
    const status = this.#consume(transfer, transfer.debit)
    if (status !== 'ok') return status
    this.#debit(transfer.debit, transfer.amount)
    return this.#credit(transfer)
  }

  #release(transfer: TransferDraft): TransferStatus {
    return this.#consume(transfer, transfer.credit)
  }

  /** Takes the amount out of the job's hold and out of what its payer has held. */
  #consume({ jobId, amount }: TransferDraft, payer: AccountId): TransferStatus {
    const hold = this.#hold(jobId)
    if (hold === undefined || jobId === null) return 'hold_unknown'
    if (hold.left === 0n) return 'hold_closed'
    if (hold.debit !== payer) return 'hold_mismatch'
    if (amount > hold.left) return 'hold_exceeded'
    const account = this.#account(payer)
    invariant(
      account.held >= amount && account.balance >= account.held,
      'a hold is covered by the balance of its payer',
    )
    this.#accounts.set(payer, { ...account, held: account.held - amount })
    this.#holds.set(jobId, { debit: payer, left: hold.left - amount })
    return 'ok'
  }

  #move(transfer: TransferDraft): TransferStatus {
    const { debit, amount, kind } = transfer
    if (debit !== MINT_ACCOUNT) {
      const account = this.#account(debit)
      // A certified correction reaches credit that has not vested; nobody else does, and nobody reaches held credit.
      const available = kind === 'correction' ? account.balance - account.held : spendable(account, this.#nowMs)
      if (available < amount) return 'insufficient_credit'
    }
    this.#debit(debit, amount)
    return this.#credit(transfer)
  }

  #debit(id: AccountId, amount: bigint): void {
    const account = this.#account(id)
    const balance = account.balance - amount
    const short = account.vesting.length === 0 ? 0n : amount - spendable(account, this.#nowMs)
    const vesting = short > 0n ? takeVesting(account.vesting, short, this.#nowMs) : account.vesting
    this.#accounts.set(id, { balance, held: account.held, vesting })
  }

  #credit({ debit, credit, amount, vestsAtMs }: TransferDraft): TransferStatus {
    const account = this.#account(credit)
    const balance = account.balance + amount
    if (balance > LEDGER_LIMITS.balanceMicroMax || this.#account(debit).balance < -LEDGER_LIMITS.balanceMicroMax)
      return 'balance_out_of_range'
    const vests = account.vesting.length > 0 || vestsAtMs > this.#nowMs
    const vesting = vests ? addVesting(account.vesting, { amount, vestsAtMs }, this.#nowMs) : account.vesting
    this.#accounts.set(credit, { balance, held: account.held, vesting })
    return 'ok'
  }
}
