import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AccountId,
  type JobId,
  MINT_ACCOUNT,
  nodeAccount,
  platformAccount,
  userAccount,
} from '../../../../core/ids.ts'
import type { Account } from '../../../../core/ledger/account.ts'
import {
  applyTransfers,
  type Books,
  type Hold,
  type TransferRefusal,
  type TransferStatus,
} from '../../../../core/ledger/rules.ts'
import type { TransferDraft } from '../../../../core/ledger/transfer.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { jobNamed, keyNamed } from '../../../support/people.ts'

const ALICE = userAccount(keyNamed('alice').peer)
const BOB = userAccount(keyNamed('bob').peer)
const NODE = nodeAccount(keyNamed('node').peer)
const PLATFORM = platformAccount('home')
const JOB = jobNamed('job')

/** Books in two maps, with 100 for Alice. */
function openBooks(): Books & { readonly accounts: Map<AccountId, Account>; readonly holds: Map<JobId, Hold> } {
  const accounts = new Map<AccountId, Account>()
  const holds = new Map<JobId, Hold>()
  const books: Books = {
    account: (id) => accounts.get(id),
    setAccount: (id, account) => accounts.set(id, account),
    hold: (id) => holds.get(id),
    setHold: (id, hold) => holds.set(id, hold),
  }
  applyTransfers(books, [direct(MINT_ACCOUNT, ALICE, 100n)], 0n)
  return { ...books, accounts, holds }
}

const common = { reason: '', jobId: JOB, nodeId: null, idempotencyKey: '', vestsAtMs: 0n }
const direct = (
  debit: AccountId,
  credit: AccountId,
  amount: bigint,
  parts: Partial<TransferDraft> = {},
): TransferDraft => ({
  ...common,
  ...{ op: 'direct', kind: 'transfer', debit, credit, amount },
  ...parts,
})
const hold = (amount: bigint, debit = ALICE): TransferDraft => ({
  ...common,
  op: 'hold',
  kind: 'hold',
  debit,
  credit: PLATFORM,
  amount,
})
const post = (amount: bigint, debit = ALICE): TransferDraft => ({
  ...common,
  op: 'post',
  kind: 'base',
  debit,
  credit: NODE,
  amount,
})
const release = (amount: bigint, credit = ALICE): TransferDraft => ({
  ...common,
  op: 'void',
  kind: 'refund',
  debit: PLATFORM,
  credit,
  amount,
})

const REFUSALS: Record<TransferRefusal, (books: Books) => TransferStatus> = {
  too_many_transfers: (books) => {
    const group = Array.from({ length: LIMITS.linkedTransferCountMax + 1 }, () => direct(ALICE, BOB, 1n))
    return applyTransfers(books, group, 0n)
  },
  amount_out_of_range: (books) => applyTransfers(books, [direct(ALICE, BOB, 0n)], 0n),
  hold_exists: (books) => applyTransfers(books, [hold(1n), hold(1n)], 0n),
  hold_unknown: (books) => applyTransfers(books, [post(1n)], 0n),
  hold_closed: (books) => applyTransfers(books, [hold(5n), release(5n), post(1n)], 0n),
  hold_mismatch: (books) => applyTransfers(books, [direct(ALICE, BOB, 5n), hold(5n), post(1n, BOB)], 0n),
  hold_exceeded: (books) => applyTransfers(books, [hold(5n), post(6n)], 0n),
  insufficient_credit: (books) => applyTransfers(books, [direct(ALICE, BOB, 101n)], 0n),
  balance_out_of_range: (books) => {
    books.setAccount(BOB, { balance: 2n ** 62n, held: 0n, vesting: [] })
    return applyTransfers(books, [direct(ALICE, BOB, 1n)], 0n)
  },
}

for (const [reason, attempt] of Object.entries(REFUSALS)) {
  test(`a group is refused whole: ${reason}`, () => {
    const books = openBooks()
    const before = books.accounts.get(ALICE)
    assert.is(attempt(books), reason)
    assert.equal(books.accounts.get(ALICE), before)
    assert.is(books.holds.size, 0)
  })
}

test('amounts below zero and above the bound are out of range', () => {
  for (const amount of [-1n, LIMITS.amountMicroMax + 1n]) {
    assert.is(applyTransfers(openBooks(), [direct(MINT_ACCOUNT, BOB, amount)], 0n), 'amount_out_of_range')
  }
})

test('a linked group whose last transfer fails leaves no trace of its first', () => {
  const books = openBooks()
  assert.is(applyTransfers(books, [direct(ALICE, BOB, 60n), direct(ALICE, BOB, 60n)], 0n), 'insufficient_credit')
  assert.is(books.accounts.get(BOB), undefined)
  assert.is(books.accounts.get(ALICE)?.balance, 100n)
})

test('transfers of one group see each other', () => {
  const books = openBooks()
  assert.is(applyTransfers(books, [direct(ALICE, BOB, 100n), direct(BOB, NODE, 100n)], 0n), 'ok')
  assert.is(books.accounts.get(NODE)?.balance, 100n)
})

test('held credit can be neither spent nor held again', () => {
  const books = openBooks()
  assert.is(applyTransfers(books, [hold(80n)], 0n), 'ok')
  assert.is(applyTransfers(books, [direct(ALICE, BOB, 21n)], 0n), 'insufficient_credit')
  assert.is(applyTransfers(books, [{ ...hold(21n), jobId: jobNamed('other') }], 0n), 'insufficient_credit')
  assert.is(applyTransfers(books, [direct(ALICE, BOB, 20n)], 0n), 'ok')
})

test('a correction reaches unvested credit and not held credit', () => {
  const books = openBooks()
  applyTransfers(books, [direct(ALICE, NODE, 50n, { vestsAtMs: 1_000n })], 0n)
  applyTransfers(books, [hold(40n)], 0n)
  assert.is(applyTransfers(books, [direct(NODE, BOB, 1n)], 999n), 'insufficient_credit')
  assert.is(applyTransfers(books, [direct(NODE, BOB, 30n, { kind: 'correction' })], 999n), 'ok')
  assert.equal(books.accounts.get(NODE), { balance: 20n, held: 0n, vesting: [{ amount: 20n, vestsAtMs: 1_000n }] })
  assert.is(applyTransfers(books, [direct(ALICE, BOB, 11n, { kind: 'correction' })], 999n), 'insufficient_credit')
})

test('vesting credit can be spent at its time and not a millisecond before', () => {
  const books = openBooks()
  assert.is(applyTransfers(books, [direct(ALICE, NODE, 50n, { vestsAtMs: 1_000n })], 0n), 'ok')
  assert.is(applyTransfers(books, [direct(NODE, BOB, 1n)], 999n), 'insufficient_credit')
  assert.is(applyTransfers(books, [direct(NODE, BOB, 50n)], 1_000n), 'ok')
})

test('posts take out of the hold, the void gives back exactly the rest', () => {
  const books = openBooks()
  assert.is(applyTransfers(books, [hold(80n)], 0n), 'ok')
  assert.is(applyTransfers(books, [post(50n), post(10n), release(20n)], 0n), 'ok')
  assert.equal(books.accounts.get(ALICE), { balance: 40n, held: 0n, vesting: [] })
  assert.is(books.accounts.get(NODE)?.balance, 60n)
  assert.is(books.accounts.get(PLATFORM), undefined)
  assert.is(applyTransfers(books, [release(1n)], 0n), 'hold_closed')
})

test('a void cannot give the money of a hold to somebody else', () => {
  const books = openBooks()
  applyTransfers(books, [hold(80n)], 0n)
  assert.is(applyTransfers(books, [release(80n, BOB)], 0n), 'hold_mismatch')
})

test('only the mint goes below zero, and it may not hold', () => {
  const books = openBooks()
  assert.is(books.accounts.get(MINT_ACCOUNT)?.balance, -100n)
  assert.is(applyTransfers(books, [hold(1n, MINT_ACCOUNT)], 0n), 'insufficient_credit')
  for (const account of [PLATFORM, NODE, BOB])
    assert.is(applyTransfers(books, [direct(account, ALICE, 1n)], 0n), 'insufficient_credit')
})

test.run()
