import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Account } from '../../../../core/ledger/account.ts'
import { auditBooks } from '../../../../core/log/apply.ts'
import { accountRow, jobRow, keyUseRow, restoreScalars, scalarsRow } from '../../../../core/log/rows.ts'
import { createState, forkState, type LoggedJob, mergeState } from '../../../../core/log/state.ts'
import { Table } from '../../../../core/log/table.ts'
import { applied, LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed } from '../../../support/people.ts'

test('a fork reads through its parent and keeps what it writes', () => {
  const root = Table.root<number>()
  root.set('a', 1)
  const fork = root.fork()
  fork.set('a', 2)
  fork.set('b', 3)
  const deeper = fork.fork()
  assert.equal([root.get('a'), fork.get('a'), deeper.get('a'), root.get('b'), deeper.get('b')], [1, 2, 2, undefined, 3])
  assert.equal([...deeper.entries()], [...fork.entries()])
  assert.equal([...fork.entries()].sort(), [
    ['a', 2],
    ['b', 3],
  ])
  fork.mergeInto(root)
  assert.equal(
    [...root.changes()],
    [
      ['a', 2],
      ['b', 3],
    ],
  )
})

test('a fork is merged only into the table it was made from', () => {
  const [one, other] = [Table.root<number>(), Table.root<number>()]
  assert.throws(() => one.fork().mergeInto(other))
})

test('a root over a store that takes rows holds none itself', () => {
  const rows = new Map<string, number>()
  const root = Table.root(rows)
  const fork = root.fork()
  fork.set('a', 1)
  assert.is(rows.size, 0)
  fork.mergeInto(root)
  assert.is(rows.get('a'), 1)
  assert.is(root.changes().size, 0)
})

test('a fork that is thrown away leaves no trace, one that is merged leaves all of it', () => {
  const swarm = new LogSwarm()
  const head = swarm.state.head
  const fork = forkState(swarm.state)
  fork.accounts.set('mint', { balance: 1n, held: 0n, vesting: [] })
  fork.head = { ...head, index: 9n }
  assert.is(swarm.state.head, head)
  assert.is.not(swarm.state.accounts.get('mint')?.balance, 1n)
  mergeState(swarm.state, fork)
  assert.is(swarm.state.head.index, 9n)
  assert.is(swarm.state.accounts.get('mint')?.balance, 1n)
})

test('rows read back as what was written', () => {
  const swarm = new LogSwarm()
  const held = swarm.hold()
  assert.equal(jobRow.decode(jobRow.encode(held)), held)
  const job = swarm.judged({ nonce: 2n })
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  const settled: LoggedJob = swarm.job(job.id)
  assert.equal(jobRow.decode(jobRow.encode(settled)), settled)
  const account: Account = { balance: -5n, held: 3n, vesting: [{ amount: 1n, vestsAtMs: 9n }] }
  assert.equal(accountRow.decode(accountRow.encode(account)), account)
  const use = { content: digestNamed('content'), entryHash: digestNamed('entry') }
  assert.equal(keyUseRow.decode(keyUseRow.encode(use)), use)
})

test('scalars restore a state to where it was, with and without a next roster and a snapshot', () => {
  const swarm = new LogSwarm()
  swarm.hold()
  for (const parts of [
    {},
    {
      nextRoster: {
        root: digestNamed('roster'),
        commits: digestNamed('commits'),
        loggedMs: 9n,
        body: new Uint8Array(900),
      },
      snapshot: { index: 1n, digest: digestNamed('state') },
    },
  ]) {
    Object.assign(swarm.state, parts)
    const restored = createState(swarm.genesis)
    restoreScalars(restored, scalarsRow.encode(swarm.state))
    assert.equal(scalarsRow.encode(restored), scalarsRow.encode(swarm.state))
    assert.equal(restored.validators, swarm.state.validators)
    assert.equal(restored.snapshot, swarm.state.snapshot)
    assert.equal(restored.nextRoster, swarm.state.nextRoster)
  }
})

test('a state over stored rows goes on where another stopped', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  const rows = { accounts: new Map(swarm.state.accounts.changes()), jobs: new Map(swarm.state.jobs.changes()) }
  const nonces = new Map(swarm.state.nonces.changes())
  const resumed = createState(swarm.genesis, { ...rows, nonces })
  restoreScalars(resumed, scalarsRow.encode(swarm.state))
  const other = new LogSwarm({}, false)
  Object.assign(other.state, resumed)
  assert.is(other.apply('hold', other.holdBody()).status, 'refused')
  applied(other.apply('settlement', other.settlement(job, 0)))
  assert.is(rows.jobs.get(job.id)?.phase, 'settled')
  assert.is(auditBooks(other.state).total, 0n)
})

test.run()
