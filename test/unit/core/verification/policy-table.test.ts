import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AuditStatistics, marginRoot } from '../../../../core/verification/audit.ts'
import {
  ANY_CLASS,
  backendClassOf,
  isTable,
  type PolicyTable,
  policyTableCodec,
  temperatureBucket,
  verdictOf,
} from '../../../../core/verification/policy-table.ts'
import { digestNamed } from '../../../support/people.ts'

const ENGINE = 'llama.cpp/b1 0123456789ab haswell linux-x64'
const ROW = {
  ...{ prover: ANY_CLASS, verifier: ANY_CLASS, temperature: 1, honestAudits: 3_000, honestTokens: 300_000 },
  ...{ suspectMicro: [6_000, 5_000, 4_000, 3_000], failMicro: [12_000, 10_000, 8_000, 6_000], worstMicro: 1_000_000 },
}
const TABLE: PolicyTable = { model: digestNamed('model'), engine: ENGINE, rows: [ROW] }
const AUDITED = { proverEngine: ENGINE, verifierEngine: ENGINE, temperatureMilli: 700 }

const found = (parts: Partial<AuditStatistics>): AuditStatistics => ({
  ...{ positions: 256, meanMicro: 0, overCount: 0, worstMicro: 0, outsideCount: 0, stopMicro: 0 },
  ...{ marginRoot: marginRoot([]), worst: [] },
  ...parts,
})

test('the mean is held against the threshold of its length', () => {
  assert.is(verdictOf(TABLE, found({ meanMicro: 4_000 }), AUDITED), 'pass')
  assert.is(verdictOf(TABLE, found({ meanMicro: 4_001 }), AUDITED), 'suspect')
  assert.is(verdictOf(TABLE, found({ meanMicro: 8_001 }), AUDITED), 'fail')
  assert.is(verdictOf(TABLE, found({ meanMicro: 4_001, positions: 255 }), AUDITED), 'pass')
  assert.is(verdictOf(TABLE, found({ meanMicro: 3_001, positions: 9_999 }), AUDITED), 'suspect')
})

test('a short output is judged by its largest margin alone', () => {
  assert.is(verdictOf(TABLE, found({ meanMicro: 900_000, positions: 63 }), AUDITED), 'pass')
  assert.is(verdictOf(TABLE, found({ worstMicro: 1_000_001, positions: 3 }), AUDITED), 'fail')
  assert.is(verdictOf(TABLE, found({ outsideCount: 1, positions: 3 }), AUDITED), 'fail')
})

test('without a row for the engines or the temperature nobody is judged', () => {
  assert.is(verdictOf(TABLE, found({ meanMicro: 1e6 }), { ...AUDITED, temperatureMilli: 0 }), 'abstain')
  const narrow = { ...TABLE, rows: [{ ...ROW, verifier: 'haswell linux-x64' }] }
  assert.is(verdictOf(narrow, found({}), AUDITED), 'pass')
  const other = { ...AUDITED, verifierEngine: 'llama.cpp/b1 0123456789ab zen4 linux-x64' }
  assert.is(verdictOf(narrow, found({}), other), 'abstain')
})

test('a class may leave a part of its name open', () => {
  const table = { ...TABLE, rows: [{ ...ROW, prover: 'cpu-* linux-x64', verifier: 'cpu-* linux-x64' }] }
  const engine = (text: string): string => `llama.cpp/b1 0123456789ab ${text}`
  const verdict = (prover: string): string =>
    verdictOf(table, found({}), {
      ...AUDITED,
      proverEngine: engine(prover),
      verifierEngine: engine('cpu-zen4 linux-x64'),
    })
  assert.is(verdict('cpu-haswell linux-x64'), 'pass')
  for (const other of ['cpu-haswell linux-x64 fa-off', 'cpu-armv8 linux-arm64', 'cuda linux-x64', 'cpu-'])
    assert.is(verdict(other), 'abstain', other)
})

test('the class of an engine has neither version nor digest in it', () => {
  assert.is(backendClassOf(ENGINE), 'haswell linux-x64')
  assert.is(backendClassOf(`${ENGINE} fa-off`), 'haswell linux-x64 fa-off')
  assert.is(backendClassOf('unknown'), 'unknown')
})

test('temperatures fall into three buckets', () => {
  assert.equal([0, 1, 749, 750, 2_000].map(temperatureBucket), [0, 1, 1, 2, 2])
})

test('a table must have each threshold, and none that fails below what it suspects', () => {
  assert.ok(isTable(TABLE))
  assert.not(isTable({ ...TABLE, rows: [{ ...ROW, failMicro: [1, 1, 1, 1] }] }))
  assert.not(isTable({ ...TABLE, rows: [{ ...ROW, suspectMicro: [1] }] }))
  assert.not(isTable({ ...TABLE, rows: [{ ...ROW, temperature: 3 }] }))
})

test('a table of four rows fits an entry of the log', () => {
  const rows = Array.from({ length: 4 }, () => ({ ...ROW, prover: 'haswell linux-x64', verifier: 'haswell linux-x64' }))
  const body = policyTableCodec.encode({ ...TABLE, rows })
  assert.ok(body.length <= policyTableCodec.bytesMax, `${body.length} bytes`)
})

test.run()
