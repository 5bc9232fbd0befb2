import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { nodeAccount, platformAccount } from '../../../../core/ids.ts'
import { bondOf } from '../../../../core/log/disputing.ts'
import { type ExpiryPorts, endExpired, endExpiredDisputes } from '../../../../node/jobs/dispute-expiry.ts'
import type { TransferRow } from '../../../../node/runtime/ports.ts'
import { transferRows } from '../../../../node/stores/projection.ts'
import { ALICE, applied, LogSwarm } from '../../../support/log-swarm.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { keyNamed } from '../../../support/people.ts'

const WORKER = keyNamed('w0')
const HOUR_MS = 3_600_000
const CREDIT = 1_000_000n

/** A paid job that Alice and a worker dispute, an hour of log time before it may be ended without votes. */
function disputed() {
  const swarm = new LogSwarm()
  const judged = swarm.judged()
  applied(swarm.apply('settlement', swarm.settlement(judged, 0)))
  applied(swarm.apply('mint', swarm.mint(nodeAccount(WORKER.peer), CREDIT, 'savings')))
  const job = swarm.job(judged.id)
  const rows: TransferRow[] = []
  for (const body of [swarm.dispute(job, ALICE), swarm.dispute(job, WORKER, { replica: 1, number: 1 })])
    rows.push(...transferRows(applied(swarm.apply('dispute', body))))
  const clock = manualClock(Number(swarm.nowMs))
  const ports = (openers: ExpiryPorts['openers']): ExpiryPorts => ({
    state: () => swarm.state,
    ledger: {
      append: async (kind, body) => {
        swarm.nowMs = BigInt(clock.nowMs())
        return swarm.apply(kind, body)
      },
      close: async () => undefined,
    },
    store: { transfers: ({ account }) => rows.filter(({ debit }) => debit === account) },
    clock,
    openers,
  })
  return { swarm, job, clock, ports }
}

test('a worker has its bond back an hour after a dispute that nobody has ended', async () => {
  const { swarm, job, clock, ports } = disputed()
  const before = swarm.balance(nodeAccount(WORKER.peer))
  await clock.advance(HOUR_MS - 1)
  assert.is(await endExpired(ports([WORKER.peer])), 0)
  await clock.advance(1)
  assert.is(await endExpired(ports([WORKER.peer])), 1)
  assert.is(swarm.balance(nodeAccount(WORKER.peer)), before + bondOf(job))
  assert.equal(
    swarm.job(job.id).disputes.map(({ outcome }) => outcome),
    [null, 'inconclusive'],
  )
  assert.is(await endExpired(ports([WORKER.peer])), 0)
})

test('nobody ends the disputes of others, and what is ruled on is left alone', async () => {
  const { swarm, job, clock, ports } = disputed()
  await clock.advance(HOUR_MS)
  assert.is(await endExpired(ports([keyNamed('somebody').peer])), 0)
  assert.is(await endExpired(ports([ALICE.peer, WORKER.peer])), 1)
  assert.is(await endExpired(ports([ALICE.peer, WORKER.peer])), 1)
  assert.is(swarm.job(job.id).correctionCount, 2)
  assert.is(swarm.state.accounts.get(platformAccount('home'))?.held, 0n)
})

test('it is tried again when the log could not be reached, until the node stops', async () => {
  const { swarm, job, clock, ports } = disputed()
  const reached = ports([WORKER.peer])
  let tries = 0
  const ledger: ExpiryPorts['ledger'] = {
    ...reached.ledger,
    append: (kind, body) => {
      tries += 1
      if (tries === 1) throw new FabricError('CF_MESH_PEER_UNREACHABLE')
      return reached.ledger.append(kind, body)
    },
  }
  await clock.advance(HOUR_MS)
  const stop = new AbortController()
  const running = endExpiredDisputes({ ...reached, ledger }, 60_000, stop.signal)
  await clock.advance(60_000)
  await clock.advance(60_000)
  stop.abort()
  await running
  assert.is(tries, 2)
  assert.is(swarm.job(job.id).disputes[1]?.outcome, 'inconclusive')
})

test.run()
