import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import { ZERO_DIGEST } from '../../../../core/ledger/settlement.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import { policyIdFor, policyOf } from '../../../../core/log/policies.ts'
import { policyRow } from '../../../../core/log/rows.ts'
import { type PolicyTable, policyIdOf, policyTableCodec } from '../../../../core/verification/policy-table.ts'
import { ALICE, applied, LogSwarm, MINT_KEY } from '../../../support/log-swarm.ts'
import { digestNamed } from '../../../support/people.ts'

const MODEL = digestNamed('model')
const ROW = {
  ...{ prover: '*', verifier: '*', temperature: 1, suspectMicro: [4, 3, 2, 1], failMicro: [8, 6, 4, 2] },
  ...{ worstMicro: 1_000_000, honestAudits: 3_000, honestTokens: 300_000 },
}

function tableOf(parts: Partial<PolicyTable> = {}): PolicyTable {
  return { model: MODEL, engine: 'an engine', rows: [ROW], ...parts }
}

function publish(swarm: LogSwarm, table: PolicyTable, key: KeyPair = MINT_KEY): Applied | Refused {
  return swarm.apply('policy', sealAs(policyTableCodec, table, swarm.state.swarmId, key))
}

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

test('without a table nothing judges the audits of a model', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  assert.is(job.policyId, ZERO_DIGEST)
  assert.is(policyOf(swarm.state, job), undefined)
})

test('a job keeps the table that was in force when its money was held', () => {
  const swarm = new LogSwarm()
  const [first, second] = [tableOf(), tableOf({ engine: 'another engine' })]
  applied(publish(swarm, first))
  const early = swarm.hold({ nonce: 1n })
  applied(publish(swarm, second))
  const late = swarm.hold({ nonce: 2n })
  assert.equal(policyOf(swarm.state, early), first)
  assert.equal(policyOf(swarm.state, late), second)
  assert.is(late.policyId, policyIdOf(policyTableCodec.encode(second)))
})

test('a table is one model’s', () => {
  const swarm = new LogSwarm()
  applied(publish(swarm, tableOf({ model: digestNamed('another model') })))
  assert.is(swarm.hold().policyId, ZERO_DIGEST)
})

test('only a mint key publishes a table, and none twice in a row', () => {
  const swarm = new LogSwarm()
  assert.is(reasonOf(publish(swarm, tableOf(), ALICE)), 'authority_missing')
  applied(publish(swarm, tableOf()))
  assert.is(reasonOf(publish(swarm, tableOf())), 'policy_repeated')
  applied(publish(swarm, tableOf({ rows: [] })))
  assert.is(reasonOf(publish(swarm, tableOf())), 'applied')
})

test('a table that fails what it does not suspect is none', () => {
  const swarm = new LogSwarm()
  assert.is(reasonOf(publish(swarm, tableOf({ rows: [{ ...ROW, failMicro: [0, 0, 0, 0] }] }))), 'body_malformed')
  assert.is(policyIdFor(swarm.state, MODEL), ZERO_DIGEST)
})

test('the largest table fits an entry, and its row comes back as it was', () => {
  const swarm = new LogSwarm()
  const text = 'x'.repeat(40)
  let table = tableOf({ rows: [] })
  while (policyTableCodec.encode(table).length <= 700)
    table = { ...table, rows: [...table.rows, { ...ROW, prover: text, verifier: text }] }
  applied(publish(swarm, table))
  const policy = { id: policyIdFor(swarm.state, MODEL), body: policyTableCodec.encode(table) }
  assert.equal(policyRow.decode(policyRow.encode(policy)), policy)
})

test.run()
