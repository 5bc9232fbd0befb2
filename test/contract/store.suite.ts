/** What every Store must do, whatever is beneath it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { digestOf, type JobId, type PeerId, parseJobId, peerIdOf } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import type { LedgerRows, Store, TransferRow } from '../../node/runtime/ports.ts'
import { codeOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const EMPTY_ROWS: LedgerRows = { accounts: [], loggedJobs: [], keyed: [], transfers: [], head: bytes(0) }

export function storeSuite(name: string, create: () => Store): Test {
  const test = suite(`store: ${name}`)
  jobTests(test, create)
  secretTests(test, create)
  ledgerTests(test, create)
  transferTests(test, create)
  return test
}

type Test = ReturnType<typeof suite>

function jobTests(test: Test, create: () => Store): void {
  test(
    'a job written twice is one row, keeps its first time, and shows the last phase',
    within(2_000, async () => {
      const store = create()
      await store.commit([{ table: 'job', id: jobId(1), phase: 'admitted', createdMs: 10, bytes: bytes(1) }])
      await store.commit([{ table: 'job', id: jobId(1), phase: 'assigned', createdMs: 99, bytes: bytes(2) }])
      assert.equal(store.job(jobId(1))?.phase, 'assigned')
      assert.equal(store.job(jobId(1))?.bytes, bytes(2))
      assert.equal(
        store.listJobs(9).map(({ createdMs }) => createdMs),
        [10],
      )
      assert.is(store.job(jobId(2)), undefined)
      await store.close()
    }),
  )

  test(
    'open jobs come oldest first and leave when they settle',
    within(2_000, async () => {
      const store = create()
      const row = (seed: number, phase: string, createdMs: number) =>
        ({ table: 'job', id: jobId(seed), phase, createdMs, bytes: bytes(seed) }) as const
      await store.commit([row(3, 'executing', 30), row(1, 'admitted', 20), row(2, 'settled', 10), row(4, 'failed', 40)])
      assert.equal(
        store.openJobs().map(({ id }) => id),
        [jobId(1), jobId(3), jobId(4)],
      )
      await store.commit([row(1, 'settled', 20)])
      assert.equal(
        store.openJobs().map(({ id }) => id),
        [jobId(3), jobId(4)],
      )
      assert.equal(
        store.listJobs(2).map(({ id }) => id),
        [jobId(4), jobId(3)],
      )
      assert.equal(
        store.listJobs(9, 30).map(({ id }) => id),
        [jobId(1), jobId(2)],
      )
      await store.close()
    }),
  )

  test(
    'stored bytes do not change with the buffer that was written or read',
    within(2_000, async () => {
      const store = create()
      const written = bytes(7, 7)
      await store.commit([{ table: 'payload', id: jobId(1), bytes: written }])
      written[0] = 9
      store.payload(jobId(1))?.fill(5)
      assert.equal(store.payload(jobId(1)), bytes(7, 7))
      await store.close()
    }),
  )
}

function secretTests(test: Test, create: () => Store): void {
  test(
    'a payload is deleted by writing empty bytes',
    within(2_000, async () => {
      const store = create()
      await store.commit([{ table: 'payload', id: jobId(1), bytes: bytes(1) }])
      await store.commit([{ table: 'payload', id: jobId(1), bytes: bytes() }])
      assert.is(store.payload(jobId(1)), undefined)
      await store.close()
    }),
  )

  test(
    'a receipt is kept by its job',
    within(2_000, async () => {
      const store = create()
      await store.commit([{ table: 'receipt', id: jobId(1), bytes: bytes(1) }])
      assert.equal(store.receipt(jobId(1)), bytes(1))
      assert.is(store.receipt(jobId(2)), undefined)
      await store.close()
    }),
  )

  test(
    'the same vote may be written again, another on its subject fails the whole commit',
    within(2_000, async () => {
      const store = create()
      const vote = (value: number) => ({ table: 'vote', voter: peer(1), subject: 'a/0', bytes: bytes(value) }) as const
      await store.commit([vote(1)])
      await store.commit([vote(1)])
      const other = store.commit([{ table: 'payload', id: jobId(1), bytes: bytes(1) }, vote(2)])
      assert.is(await codeOf(other), 'CF_STORE_FAILED')
      assert.equal(store.vote(peer(1), 'a/0'), bytes(1))
      assert.is(store.payload(jobId(1)), undefined)
      assert.is(store.vote(peer(2), 'a/0'), undefined)
      await store.close()
    }),
  )

  test(
    'work is keyed by worker and subject',
    within(2_000, async () => {
      const store = create()
      await store.commit([{ table: 'work', worker: peer(1), subject: 'a/0', bytes: bytes(1) }])
      assert.equal(store.work(peer(1), 'a/0'), bytes(1))
      assert.is(store.work(peer(1), 'a/1'), undefined)
      await store.close()
    }),
  )

  test(
    'a closed store refuses to commit',
    within(2_000, async () => {
      const store = create()
      await store.close()
      await store.close()
      assert.is(await codeOf(store.commit([])), 'CF_STORE_FAILED')
    }),
  )
}

function ledgerTests(test: Test, create: () => Store): void {
  test(
    'ledger rows are found by key, and the last write of a key wins',
    within(2_000, async () => {
      const store = create()
      const account = { id: 'mint', bytes: bytes(1) }
      const keyed = [
        { table: 'nonce', key: 'u/1', value: bytes(4) },
        { table: 'evidence', key: 'u/1', value: bytes(5) },
      ] as const
      await store.commit([
        {
          table: 'ledger',
          rows: {
            ...EMPTY_ROWS,
            accounts: [account],
            keyed,
            loggedJobs: [{ id: jobId(1), deadlineMs: 7, bytes: bytes(6) }],
            head: bytes(8),
          },
        },
      ])
      await store.commit([
        { table: 'ledger', rows: { ...EMPTY_ROWS, accounts: [{ id: 'mint', bytes: bytes(2) }], head: bytes(9) } },
      ])
      assert.equal(store.ledgerRow('account', 'mint'), bytes(2))
      assert.equal(store.ledgerRow('nonce', 'u/1'), bytes(4))
      assert.equal(store.ledgerRow('evidence', 'u/1'), bytes(5))
      assert.equal(store.ledgerRow('loggedJob', jobId(1)), bytes(6))
      assert.is(store.ledgerRow('idempotency', 'u/1'), undefined)
      assert.equal(store.ledgerHead(), bytes(9))
      assert.equal(store.accounts(), [{ id: 'mint', bytes: bytes(2) }])
      assert.is(store.ledgerCount('account'), 1)
      assert.is(store.ledgerCount('invite'), 0)
      await store.close()
    }),
  )

  test(
    'jobs that nobody settled are listed by deadline, and leave the list with their settlement',
    within(2_000, async () => {
      const store = create()
      const rows = (jobs: readonly (readonly [seed: number, deadlineMs: number | null])[]): LedgerRows => ({
        ...EMPTY_ROWS,
        loggedJobs: jobs.map(([seed, deadlineMs]) => ({ id: jobId(seed), deadlineMs, bytes: bytes(seed) })),
      })
      await store.commit([
        {
          table: 'ledger',
          rows: rows([
            [1, 30],
            [2, 10],
            [3, 20],
          ]),
        },
      ])
      assert.equal(store.unsettledJobs(2), [
        { id: jobId(2), deadlineMs: 10 },
        { id: jobId(3), deadlineMs: 20 },
      ])
      await store.commit([{ table: 'ledger', rows: rows([[2, null]]) }])
      assert.equal(
        store.unsettledJobs(9).map(({ id }) => id),
        [jobId(3), jobId(1)],
      )
      await store.close()
    }),
  )

  test(
    'every row of a table is listed in order of its key, however many there are',
    within(5_000, async () => {
      const store = create()
      const names = Array.from({ length: 1_500 }, (_, place) => `u/${String(place).padStart(5, '0')}`)
      const keyed = names.toReversed().map((key) => ({ table: 'nonce', key, value: bytes(key.length) }) as const)
      await store.commit([{ table: 'ledger', rows: { ...EMPTY_ROWS, keyed } }])
      assert.equal(
        [...store.ledgerRows('nonce')].map(({ key }) => key),
        names,
      )
      assert.equal([...store.ledgerRows('peer')], [])
      const policies = ['model/b', 'id/a'].map((key) => ({ table: 'policy', key, value: bytes(1) }) as const)
      await store.commit([{ table: 'ledger', rows: { ...EMPTY_ROWS, keyed: policies } }])
      assert.equal(
        [...store.ledgerRows('policy')].map(({ key }) => key),
        ['id/a', 'model/b'],
      )
      assert.equal([store.ledgerCount('policy'), store.ledgerRow('policy', 'id/a')], [2, bytes(1)])
      await store.close()
    }),
  )

  test(
    'rosters are found by their root, and the oldest epochs make room',
    within(2_000, async () => {
      const store = create()
      const [first, last] = [digestOf(new Uint8Array(32).fill(1)), digestOf(new Uint8Array(32).fill(2))]
      await store.commit([{ table: 'roster', root: first, epoch: 1n, bytes: bytes(1) }])
      assert.equal(store.roster(first), bytes(1))
      assert.is(store.roster(last), undefined)
      await store.commit([{ table: 'roster', root: last, epoch: 2n + BigInt(LIMITS.rosterEpochsMax), bytes: bytes(2) }])
      assert.is(store.roster(first), undefined)
      assert.equal(store.roster(last), bytes(2))
      await store.close()
    }),
  )

  test(
    'an empty store has no head',
    within(2_000, async () => {
      const store = create()
      assert.is(store.ledgerHead(), undefined)
      assert.equal(store.accounts(), [])
      await store.close()
    }),
  )
}

function transferTests(test: Test, create: () => Store): void {
  test(
    'transfers come newest first, by account on either side, by job, and in pages',
    within(2_000, async () => {
      const store = create()
      const transfers = [
        row(1n, 'mint', 'user/a', null),
        row(2n, 'user/a', 'node/b', jobId(1)),
        row(3n, 'mint', 'node/b', null),
        row(4n, 'user/a', 'node/b', jobId(2)),
      ]
      await store.commit([{ table: 'ledger', rows: { ...EMPTY_ROWS, transfers } }])
      const sequences = (filter: Parameters<Store['transfers']>[0]): bigint[] =>
        store.transfers(filter).map(({ sequence }) => sequence)
      assert.equal(sequences({ limit: 9 }), [4n, 3n, 2n, 1n])
      assert.equal(sequences({ limit: 2, account: 'user/a' }), [4n, 2n])
      assert.equal(sequences({ limit: 2, account: 'user/a', before: 2n }), [1n])
      assert.equal(sequences({ limit: 9, jobId: jobId(1) }), [2n])
      assert.equal(sequences({ limit: 9, account: 'node/b', jobId: jobId(2) }), [4n])
      assert.equal(sequences({ limit: 9, account: 'node/c' }), [])
      assert.equal(sequences({ limit: 9, hash: 'h3' }), [3n])
      assert.equal(sequences({ limit: 9, hash: 'h3', account: 'user/a' }), [])
      assert.equal(store.transfers({ limit: 1 })[0], transfers[3])
      await store.close()
    }),
  )

  test(
    'the same transfer row twice is one row',
    within(2_000, async () => {
      const store = create()
      const rows = { ...EMPTY_ROWS, transfers: [row(7n, 'mint', 'user/a', null)] }
      await store.commit([
        { table: 'ledger', rows },
        { table: 'ledger', rows },
      ])
      assert.is(store.transfers({ limit: 9 }).length, 1)
      await store.close()
    }),
  )

  test(
    'amounts beyond 2^53 survive exactly',
    within(2_000, async () => {
      const store = create()
      const big = { ...row(1n << 60n, 'mint', 'user/a', null), amount: (1n << 62n) + 1n }
      await store.commit([{ table: 'ledger', rows: { ...EMPTY_ROWS, transfers: [big] } }])
      assert.equal(store.transfers({ limit: 1 })[0], big)
      await store.close()
    }),
  )
}

function row(sequence: bigint, debit: string, credit: string, job: JobId | null): TransferRow {
  const [id, hash] = [`t${sequence}`, `h${sequence}`]
  return {
    id,
    sequence,
    timeMs: 5,
    kind: 'transfer',
    debit,
    credit,
    amount: 3n,
    reason: 'why',
    jobId: job,
    nodeId: null,
    idempotencyKey: 'k',
    hash,
  }
}

function jobId(seed: number): JobId {
  const id = parseJobId(digestOf(new Uint8Array(32).fill(seed)))
  if (id === undefined) throw new Error('a digest is a job id')
  return id
}

function peer(seed: number): PeerId {
  return peerIdOf(new Uint8Array(32).fill(seed))
}
