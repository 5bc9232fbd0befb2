/** Jobs whose workers vanish: the client's stream goes on, the job is paid once, and the receipt says who was heard. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobId, PeerId } from '../../core/ids.ts'
import { userAccount } from '../../core/ids.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { wholeSwarm } from '../support/job-run.ts'
import { heardBy, JobSwarm, type JobSwarmOptions } from '../support/job-swarm.ts'
import { ALICE, STARTER } from '../support/log-swarm.ts'
import { memberNamed } from '../support/people.ts'
import { within } from '../support/within.ts'

const SLOW = { engine: { faultOf: () => ({ stepMs: 5 }) } }
const READ_CHARACTERS = 8
/** Each lost message costs a request's deadline, and a job has twenty rounds. */
const LOSSY_JOB_MS = 40_000
const LOSSY_RUNS = 4

/** What the job says when nobody dies; its seed depends on what it asks for. */
async function whole(intent: Parameters<JobSwarm['submit']>[0] = {}, options: JobSwarmOptions = {}) {
  const swarm = await JobSwarm.start(options)
  const { feed } = await swarm.submit(intent)
  const heard = await heardBy(feed.listen(AbortSignal.timeout(8_000)))
  swarm.stop()
  return heard
}

type Trial = {
  readonly options?: JobSwarmOptions
  readonly intent?: Parameters<JobSwarm['submit']>[0]
  /** How often the worker that is heard is killed. */
  readonly kills: number
}

/** Kills who is heard as soon as some of its tokens were, as often as is asked. */
async function killing(trial: Trial) {
  const end = await lossy(trial)
  assert.is(end.killed.length, trial.kills, 'the workers were killed while they were heard')
  return end
}

/** The same where messages are lost: a job may be over before anybody was killed. */
async function lossy({ options = SLOW, intent = {}, kills }: Trial) {
  const swarm = await JobSwarm.start(options)
  try {
    return await heardUntilKilled(swarm, intent, kills)
  } finally {
    swarm.stop()
  }
}

async function heardUntilKilled(swarm: JobSwarm, intent: Trial['intent'], kills: number) {
  const killed: PeerId[] = []
  const { id, feed } = await swarm.submit(intent)
  const heard = await heardBy(feed.listen(AbortSignal.timeout(LOSSY_JOB_MS)), (text) => {
    if (killed.length >= kills || text.length < READ_CHARACTERS * (killed.length + 1)) return
    const job = swarm.coordinator.job(id)
    if (job?.phase !== 'executing' || job.streamed === null) return
    const worker = job.replicas[job.streamed]?.worker
    if (worker === undefined || killed.includes(worker)) return
    killed.push(worker)
    void swarm.kill(worker)
  })
  assert.equal(swarm.bugs, [])
  return { swarm, id, heard, killed, facts: factsOf(swarm, id) }
}

function factsOf(swarm: JobSwarm, id: JobId) {
  const file = swarm.store.receipt(id)
  assert.ok(file !== undefined)
  const verdict = verifyReceiptFile(file ?? new Uint8Array(), { roots: new Set([swarm.log.state.swarmId]) })
  if (verdict.status !== 'valid') throw new Error(JSON.stringify(verdict, (_, value) => String(value)))
  return verdict.facts
}

test(
  'the only worker of a job dies while it is read: another goes on, and the client cannot tell',
  within(15_000, async () => {
    const { swarm, id, heard, killed, facts } = await killing({ kills: 1 })
    const { text, ids } = await whole()
    assert.is(heard.text, text)
    assert.equal(heard.ids, ids)
    assert.is(heard.finishes.length, 1)
    assert.is(heard.outcome.reason, 'paid')
    const segments = facts.delivery?.segments ?? []
    assert.is(segments.length, 2)
    assert.is(segments[0]?.worker, killed[0])
    assert.equal(segments[1]?.tokenStart, segments[0]?.tokenCount)
    assert.is(
      segments.reduce((sum, { tokenCount }) => sum + tokenCount, 0),
      ids.length,
    )
    assert.is(swarm.log.job(id).attempt, 1)
    assert.not.ok(
      facts.settlement.legs.some(({ node }) => node === killed[0]),
      'the dead worker is not paid',
    )
    assert.is(swarm.log.balance(userAccount(ALICE.peer)), STARTER - facts.settlement.cost, 'and the client pays once')
  }),
)

test(
  'with three replicas a dead one is followed by one of the same attempt',
  within(15_000, async () => {
    const { swarm, id, heard, killed, facts } = await killing({ kills: 1, intent: { replicas: 3 } })
    assert.is(heard.text, (await whole({ replicas: 3 })).text)
    assert.is(heard.outcome.reason, 'paid')
    assert.is(swarm.log.job(id).attempt, 0)
    assert.equal(facts.findings.map(({ verdict }) => verdict).toSorted(), ['fail', 'pass', 'pass'])
    assert.is(facts.delivery?.segments[0]?.worker, killed[0])
    assert.is(facts.delivery?.segments.length, 2)
  }),
)

test(
  'every attempt loses its worker: the whole hold comes back, and the receipt shows the last that the log knew',
  within(15_000, async () => {
    const { swarm, heard, killed, facts } = await killing({ kills: 3 })
    assert.is(heard.outcome.outcome, 'refunded')
    assert.is(heard.outcome.reason, 'all_replicas_lost')
    assert.is(facts.settlement.cost, 0n)
    assert.is(facts.assignment?.workers[0], killed[2])
    assert.is(swarm.log.balance(userAccount(ALICE.peer)), STARTER)
  }),
)

test(
  'messages that are late, lost and out of order change nothing of it',
  within(60_000, async () => {
    const network = {
      delayMs: (random: { bytes(count: number): Uint8Array }) => (random.bytes(1)[0] ?? 0) / 16,
      reorder: true,
      dropPermille: 50,
    }
    const policy = { jobMs: LOSSY_JOB_MS, answerMs: 1_000, revealMs: 10_000 }
    const { text } = await whole({}, { policy })
    // A lost order costs an attempt, of which there are three: in one run of twenty two are lost beside the one that is killed.
    for (let run = 0; run < LOSSY_RUNS; run += 1) {
      const { swarm, heard, facts, killed } = await lossy({ kills: 1, options: { ...SLOW, network, policy } })
      if (heard.outcome.reason === 'paid') {
        assert.equal([heard.text, killed.length], [text, 1])
        assert.ok((facts.delivery?.segments.length ?? 0) >= 2)
        return
      }
      assert.is(heard.outcome.outcome, 'refunded')
      assert.ok(text.startsWith(heard.text), heard.text)
      assert.is(swarm.log.balance(userAccount(ALICE.peer)), STARTER)
    }
    assert.unreachable('one of so many runs is paid')
  }),
)

test(
  'a worker that dies in before mode is replaced as well, and nobody hears of it',
  within(15_000, async () => {
    let generations = 0
    const faultOf = () => {
      generations += 1
      return generations === 1 ? { failAt: 3 } : {}
    }
    const swarm = await JobSwarm.start({ engine: { faultOf } })
    const { id, feed } = await swarm.submit({ verify: 'before' })
    const heard = await heardBy(feed.listen(AbortSignal.timeout(12_000)))
    swarm.stop()
    assert.is(heard.text, (await whole({ verify: 'before' })).text)
    assert.is(heard.outcome.reason, 'paid')
    assert.is(swarm.log.job(id).attempt, 1)
  }),
)

test(
  'a draw of too few fails at once, and the whole hold comes back by certificate',
  within(5_000, async () => {
    const some = wholeSwarm().state.genesis.members.filter(({ roles }) => (roles & ROLE.worker) === 0)
    for (const members of [some, [...some, memberNamed('w0', { block: 1 })]]) {
      const swarm = await JobSwarm.start({ members })
      const { id, feed } = await swarm.submit({ replicas: 2 })
      const { outcome } = await heardBy(feed.listen(AbortSignal.timeout(2_000)))
      swarm.stop()
      assert.equal([outcome.outcome, outcome.reason], ['refunded', 'no_workers'])
      assert.is(factsOf(swarm, id).authority, 'certificate')
      assert.is(swarm.log.balance(userAccount(ALICE.peer)), STARTER)
    }
  }),
)

test(
  'all workers are busy: they are asked again, and then the whole hold comes back by certificate',
  within(5_000, async () => {
    const swarm = await JobSwarm.start({ engine: { slotCount: 0 } })
    const { id, feed } = await swarm.submit()
    const { outcome } = await heardBy(feed.listen(AbortSignal.timeout(4_000)))
    swarm.stop()
    assert.equal([outcome.outcome, outcome.reason], ['refunded', 'no_workers'])
    assert.is(factsOf(swarm, id).authority, 'certificate')
    assert.is(swarm.log.job(id).attempt, 0, 'the log has heard of no assignment')
  }),
)

test.run()
