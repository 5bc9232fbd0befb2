import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Finding, METHOD } from '../../../../core/verification/finding.ts'
import { assuranceOf, EXACT_V1 } from '../../../../core/verification/policy.ts'
import { digestNamed, jobNamed, keyNamed } from '../../../support/people.ts'

const EXACT = METHOD.structure | METHOD.exact
const OWNERS = ['a', 'b', 'a'].map((name) => digestNamed(name))

function finding(replica: number, parts: Partial<Finding> = {}): Finding {
  return {
    jobId: jobNamed('job'),
    attempt: 0,
    replica,
    worker: keyNamed(`w${replica}`).peer,
    commitmentHash: digestNamed('commitment'),
    tokensRoot: digestNamed('root'),
    tokenCount: 3,
    verdict: 'pass',
    methods: EXACT,
    reason: 'none',
    agree: 2,
    policyId: EXACT_V1.id,
    auditsHash: digestNamed('no reports'),
    evidenceMicro: 0,
    auditors: [],
    outvoted: [],
    tokensPerSecondMilli: 0,
    ...parts,
  }
}

test('a local swarm says local, whatever was found', () => {
  assert.is(assuranceOf({ verifiable: true, local: true, findings: [finding(0), finding(1)], owners: OWNERS }), 'local')
})

test('two owners that agree are replication, two machines of one owner are not', () => {
  assert.is(
    assuranceOf({ verifiable: true, local: false, findings: [finding(0), finding(1)], owners: OWNERS }),
    'replicated',
  )
  assert.is(
    assuranceOf({ verifiable: true, local: false, findings: [finding(0), finding(2)], owners: OWNERS }),
    'unaudited',
  )
})

test('one replica, and replicas that did not pass, are unaudited', () => {
  assert.is(
    assuranceOf({
      verifiable: true,
      local: false,
      findings: [finding(0, { methods: METHOD.structure, agree: 1 })],
      owners: OWNERS,
    }),
    'unaudited',
  )
  assert.is(
    assuranceOf({
      verifiable: true,
      local: false,
      findings: [finding(0), finding(1, { verdict: 'inconclusive' })],
      owners: OWNERS,
    }),
    'unaudited',
  )
  assert.is(assuranceOf({ verifiable: true, local: false, findings: [], owners: [] }), 'unaudited')
})

test('vectors of two owners that agree are replication too', () => {
  const methods = METHOD.structure | METHOD.semantic
  const findings = [finding(0, { methods }), finding(1, { methods, tokensRoot: digestNamed('last bits') })]
  assert.is(assuranceOf({ verifiable: true, local: false, findings, owners: OWNERS }), 'replicated')
})

test('a sampler that nobody can replay is unverifiable, however many agree and whoever owns the swarm', () => {
  const findings = [finding(0), finding(1)]
  for (const local of [true, false])
    assert.is(assuranceOf({ verifiable: false, local, findings, owners: OWNERS }), 'unverifiable')
})

test('an owner that nobody knows is not counted', () => {
  assert.is(
    assuranceOf({ verifiable: true, local: false, findings: [finding(0), finding(1)], owners: OWNERS.slice(0, 1) }),
    'unaudited',
  )
})

test('a replayed pass is audited, a replayed fail is not', () => {
  const methods = METHOD.structure | METHOD.prefill
  assert.is(
    assuranceOf({ verifiable: true, local: false, findings: [finding(0, { methods })], owners: OWNERS }),
    'audited',
  )
  assert.is(
    assuranceOf({
      verifiable: true,
      local: false,
      findings: [finding(0, { methods, verdict: 'fail' })],
      owners: OWNERS,
    }),
    'unaudited',
  )
})

test.run()
