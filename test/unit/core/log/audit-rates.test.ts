/** How often a worker's outputs are audited, by what the log knows of it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DEFAULT_POLICY } from '../../../../core/log/genesis.ts'
import {
  auditPermilleOf,
  freshStanding,
  isBarred,
  isRosterBarred,
  ownerNamed,
  type Standing,
  standingOf,
  weightOf,
} from '../../../../core/log/standing.ts'
import { ALICE, applied, LogSwarm } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'

const WORKER = keyNamed('w0')
const ONE = 1_024

function rate(parts: Partial<Standing>, policy = DEFAULT_POLICY): number {
  const fresh = freshStanding({ owner: ownerNamed(WORKER.peer), user: null, joinedEpoch: 0n, base: 8 })
  return auditPermilleOf({ ...fresh, watch: 0, ...parts }, policy)
}

/** Findings of one replica each, as many jobs. */
function work(swarm: LogSwarm, count: number, finding: Parameters<LogSwarm['finding']>[2] = {}): void {
  for (let done = 0; done < count; done += 1) {
    const nonce = BigInt(swarm.entries.length)
    swarm.judged({ nonce, replicas: 1, expiresMs: swarm.nowMs + 1_000n }, [{ agree: 1, ...finding }])
  }
}

function standing(swarm: LogSwarm): Standing {
  return standingOf(swarm.state, WORKER.peer) ?? missing('a standing')
}

test('whoever is new, watched or unknown is always audited', () => {
  assert.is(auditPermilleOf(undefined, DEFAULT_POLICY), 1_000)
  assert.is(rate({ watch: 1, good: 50 * ONE }), 1_000)
  const swarm = new LogSwarm()
  work(swarm, 49)
  assert.is(standing(swarm).watch, 1)
  assert.is(auditPermilleOf(standing(swarm), swarm.genesis.policy), 1_000)
  work(swarm, 1)
  assert.is(auditPermilleOf(standing(swarm), swarm.genesis.policy), 100)
  work(swarm, 60)
  assert.is(auditPermilleOf(standing(swarm), swarm.genesis.policy), 50)
})

test('the rate falls with what is known to be good, and never below one in fifty', () => {
  assert.equal(
    [0, 10, 20, 49].map((good) => rate({ good: good * ONE })),
    [200, 200, 100, 50],
  )
  assert.is(rate({ good: 49 * ONE, bad: ONE }), 100)
  assert.is(rate({ good: 49 * ONE, bad: 5 * ONE }), 200)
  assert.is(rate({ good: 49 * ONE }, { ...DEFAULT_POLICY, auditPermille: 1 }), 20)
  assert.is(rate({ good: 0 }, { ...DEFAULT_POLICY, auditPermille: 900 }), 1_000)
})

test('a genesis that audits nothing audits nobody, watched or not', () => {
  assert.is(rate({ watch: 50 }, { ...DEFAULT_POLICY, auditPermille: 0 }), 0)
})

test('a doubt of an audit brings twenty more findings under watch; a doubt of anything else does not', () => {
  const swarm = new LogSwarm()
  work(swarm, 50)
  work(swarm, 1, { verdict: 'fail', reason: 'no_reveal', methods: 1 })
  assert.is(standing(swarm).watch, 0)
  work(swarm, 1, { verdict: 'suspect', reason: 'audit_suspect', methods: 7 })
  assert.is(standing(swarm).watch, 20)
  work(swarm, 5)
  assert.is(standing(swarm).watch, 15)
  work(swarm, 1, { verdict: 'fail', reason: 'audit_failed', methods: 7 })
  assert.is(standing(swarm).watch, 20)
})

test('many outputs that each say a little against their worker bring it under watch together', () => {
  const swarm = new LogSwarm()
  work(swarm, 50)
  const doubtful = { methods: 7, evidenceMicro: 5_000_000 }
  work(swarm, 2, doubtful)
  assert.is(standing(swarm).watch, 0)
  assert.is(standing(swarm).evidenceMicro, 10_000_000)
  work(swarm, 1, { methods: 7, evidenceMicro: -4_000_000 })
  assert.is(standing(swarm).evidenceMicro, 6_000_000)
  work(swarm, 2, doubtful)
  assert.is(standing(swarm).watch, 20)
  assert.is(standing(swarm).evidenceMicro, 0)
  work(swarm, 1, { methods: 7, evidenceMicro: -2_000_000_000 })
  assert.is(standing(swarm).evidenceMicro, 0)
  assert.is(standing(swarm).failed, 0)
})

test('a suspect finding is neither good nor bad, and old findings fade', () => {
  const swarm = new LogSwarm()
  work(swarm, 2)
  const { good } = standing(swarm)
  assert.is(good, Math.floor((ONE * 1_003) / ONE) + ONE)
  work(swarm, 1, { verdict: 'suspect', reason: 'audit_suspect', methods: 7 })
  assert.is(standing(swarm).good, Math.floor((good * 1_003) / ONE))
  assert.is(standing(swarm).bad, 0)
  assert.is(standing(swarm).passed, 2)
  work(swarm, 300)
  assert.ok(standing(swarm).good <= 50 * ONE)
})

test('the rate of a job is fixed when its workers are', () => {
  const swarm = new LogSwarm()
  const held = swarm.hold({ replicas: 2 })
  assert.equal(held.auditPermille, [])
  applied(swarm.apply('assignment', swarm.assignment(held)))
  assert.equal(swarm.job(held.id).auditPermille, [1_000, 1_000])
  work(swarm, 50)
  const later = swarm.hold({ replicas: 2, nonce: 10_000n })
  applied(swarm.apply('assignment', swarm.assignment(later)))
  assert.equal(swarm.job(later.id).auditPermille, [100, 1_000])
  assert.equal(swarm.job(held.id).auditPermille, [1_000, 1_000])
})

const [LAZY, HONEST, OTHER] = [keyNamed('v1').peer, keyNamed('v2').peer, keyNamed('v3').peer]
const auditorOf = (swarm: LogSwarm, peer = LAZY): Standing => standingOf(swarm.state, peer) ?? missing('a standing')
const OUTVOTES = { auditors: [HONEST, OTHER], outvoted: [LAZY] }
/** Its reports are borne out. */
const BEARS_OUT = { auditors: [LAZY, OTHER] }
const barred = (swarm: LogSwarm): boolean => isBarred(auditorOf(swarm))

test('who is outvoted three times within a short time audits nothing more, weighs less and is watched', () => {
  const swarm = new LogSwarm()
  work(swarm, 2, OUTVOTES)
  assert.equal([auditorOf(swarm).outvoted, barred(swarm)], [2_027, false])
  assert.is(auditorOf(swarm).watch, 50)
  work(swarm, 1, OUTVOTES)
  assert.equal([auditorOf(swarm).outvoted, barred(swarm)], [3_009, true])
  const passed = { ...auditorOf(swarm), base: 60, passed: 1_000 }
  assert.equal(
    [0, 1_024, 2_559, 2_560].map((outvoted) => weightOf({ ...passed, outvoted })),
    [64, 63, 62, 15],
  )
  assert.equal([auditorOf(swarm, HONEST).outvoted, auditorOf(swarm, OTHER).outvoted], [0, 0])
  assert.not(isRosterBarred(auditorOf(swarm), swarm.state.epoch), 'not under the roster that was drawn up before')
  assert.ok(isRosterBarred(auditorOf(swarm), swarm.state.epoch + 1n))
})

test('a mark is forgotten as reports are borne out, and one in a while bars nobody', () => {
  const swarm = new LogSwarm()
  for (let round = 0; round < 3; round += 1) {
    work(swarm, 1, OUTVOTES)
    work(swarm, 30, BEARS_OUT)
    assert.not(barred(swarm))
  }
  const left = auditorOf(swarm).outvoted
  assert.ok(left < 1_024, `${left}`)
  work(swarm, 1, { auditors: [LAZY] })
  assert.is(auditorOf(swarm).outvoted, left, 'a report alone is borne out by nobody')
})

test('who is barred comes back by work of its own that passes', () => {
  const swarm = new LogSwarm()
  for (let round = 0; round < 3; round += 1) work(swarm, 1, { auditors: [HONEST, OTHER], outvoted: [WORKER.peer] })
  assert.ok(isBarred(standing(swarm)))
  const marked = standing(swarm).outvoted
  work(swarm, 1, { verdict: 'fail', reason: 'tokens_root', methods: 1 })
  assert.is(standing(swarm).outvoted, marked)
  work(swarm, 12)
  assert.not(isBarred(standing(swarm)))
  const { outvoted } = standing(swarm)
  work(swarm, 5)
  assert.is(standing(swarm).outvoted, outvoted, 'what is left is forgotten by audits alone')
})

test('an overturned verdict marks those whose reports made it, also when another of its class was disputed', () => {
  const swarm = new LogSwarm()
  const auditsHash = digestNamed('reports')
  const parts = { methods: 7, auditsHash }
  const job = swarm.judged({ replicas: 3 }, [{ ...parts, auditors: [LAZY, HONEST] }, parts, {}])
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 1 })))
  applied(swarm.apply('correction', swarm.ruling(job, 'upheld')))
  assert.equal([auditorOf(swarm).outvoted, auditorOf(swarm, HONEST).outvoted], [1_024, 1_024])
  assert.is(auditorOf(swarm, OTHER).outvoted, 0)
})

test('referees who bear out what auditors failed or doubted mark none of them', () => {
  const audited = { methods: 7, auditsHash: digestNamed('reports'), auditors: [LAZY, HONEST] }
  for (const parts of [
    { verdict: 'fail', reason: 'audit_failed' },
    { verdict: 'suspect', reason: 'audit_suspect' },
  ] as const) {
    const swarm = new LogSwarm()
    const job = swarm.judged({ replicas: 3 }, [{ ...audited, ...parts }, {}, {}])
    applied(swarm.apply('settlement', swarm.settlement(job, 1)))
    applied(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 0 })))
    applied(swarm.apply('correction', swarm.ruling(job, 'upheld')))
    assert.equal([auditorOf(swarm).outvoted, auditorOf(swarm, HONEST).outvoted], [0, 0])
  }
})

test.run()
