/** A job that nobody settles gives its hold back, once, soon after its deadline, also when the sweeper was restarted meanwhile. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { userAccount } from '../../../../core/ids.ts'
import type { LogState } from '../../../../core/log/state.ts'
import { Sweeper } from '../../../../node/jobs/sweeper.ts'
import { LogLedger } from '../../../../node/stores/ledger.ts'
import { LogNodes } from '../../../support/log-nodes.ts'
import { ALICE, START_MS, STARTER } from '../../../support/log-swarm.ts'
import { type ManualClock, manualClock } from '../../../support/manual-clock.ts'
import { within } from '../../../support/within.ts'

const alice = userAccount(ALICE.peer)
const GRACE_MS = 2_000
const freeOf = (state: LogState): bigint => {
  const account = state.accounts.get(alice)
  return account === undefined ? 0n : account.balance - account.held
}
const setUp = (): { readonly nodes: LogNodes; readonly clock: ManualClock } => {
  const clock = manualClock(Number(START_MS))
  return { nodes: new LogNodes(1, {}, {}, clock), clock }
}

test(
  'a hold is given back two seconds after its deadline and not before',
  within(5_000, async () => {
    const { nodes, clock } = setUp()
    const { ledger, store, close } = await nodes.holder()
    const sweeper = new Sweeper({ graceMs: GRACE_MS }, { ledger, store, clock })
    const held = await ledger.append('hold', nodes.swarm.holdBody())
    assert.ok(held.status === 'applied' && held.jobId !== null)
    const job = ledger.state.jobs.get(held.jobId)
    assert.ok(job)
    const deadlineMs = Number(job.deadlineMs)
    await clock.advance(deadlineMs + GRACE_MS - 1 - clock.nowMs())
    await sweeper.sweep(clock.nowMs())
    assert.ok(freeOf(ledger.state) < STARTER)
    await clock.advance(1)
    await sweeper.sweep(clock.nowMs())
    assert.is(freeOf(ledger.state), STARTER)
    assert.equal(ledger.state.jobs.get(job.id)?.settlement?.authority, 'expiry')
    const { index } = ledger.state.head
    await sweeper.sweep(clock.nowMs() + 60_000)
    assert.is(ledger.state.head.index, index)
    await close()
  }),
)

test(
  'a sweeper that starts later finds what is due in the store',
  within(5_000, async () => {
    const { nodes, clock } = setUp()
    const { ledger, store, log, close } = await nodes.holder()
    for (const nonce of [1n, 2n, 3n]) await ledger.append('hold', nodes.swarm.holdBody({ nonce }))
    assert.is(store.unsettledJobs(9).length, 3)
    await close()
    await clock.advance(3_600_000)
    const again = await LogLedger.open({ genesis: nodes.swarm.genesis }, { log, store, clock })
    const sweeper = new Sweeper({ batchCountMax: 2 }, { ledger: again, store, clock })
    await sweeper.sweep(clock.nowMs())
    assert.is(store.unsettledJobs(9).length, 1)
    await sweeper.sweep(clock.nowMs())
    assert.is(store.unsettledJobs(9).length, 0)
    assert.is(freeOf(again.state), STARTER)
    await again.close()
  }),
)

test(
  'two that sweep one log refund once',
  within(8_000, async () => {
    const { nodes, clock } = setUp()
    const { ledger, store, close } = await nodes.holder()
    const other = new Sweeper({}, { ledger, store, clock })
    const sweeper = new Sweeper({}, { ledger, store, clock })
    await ledger.append('hold', nodes.swarm.holdBody())
    await clock.advance(3_600_000)
    await Promise.all([sweeper.sweep(clock.nowMs()), other.sweep(clock.nowMs())])
    assert.is(ledger.state.head.index, 2n)
    assert.is(freeOf(ledger.state), STARTER)
    await close()
  }),
)

test.run()
