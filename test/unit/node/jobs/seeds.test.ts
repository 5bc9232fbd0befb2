/** Which seeds a client's edge gives the replicas of its jobs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash } from '#core/hash'
import { toHex, u32be } from '../../../../core/codec/bytes.ts'
import { isSplit, type Seed } from '../../../../core/log/inputs.ts'
import { defaultMode, SPLIT_PERMILLE, seedsFor } from '../../../../node/jobs/seeds.ts'
import { intentOfAlice, LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const REPLICAS = 3
const NONCE = new Uint8Array(32).fill(7)
const INTENT = intentOfAlice({ replicas: REPLICAS })
const random = seededRandom(testSeed())
const base = random.below(2 ** 31)
const secretOf = (place: number): Uint8Array => domainHash('test-secret', u32be(base), u32be(place))
const noncesOf = (seeds: readonly Seed[]): number => new Set(seeds.map(({ nonce }) => toHex(nonce))).size
const saltsOf = (seeds: readonly Seed[]): number => new Set(seeds.map(({ salt }) => toHex(salt))).size

test('the same secret makes the same seeds, another one others', () => {
  for (const mode of ['hidden', 'shared', 'split'] as const) {
    assert.equal(seedsFor(REPLICAS, mode, secretOf(1), undefined), seedsFor(REPLICAS, mode, secretOf(1), undefined))
    assert.not.equal(seedsFor(REPLICAS, mode, secretOf(1), undefined), seedsFor(REPLICAS, mode, secretOf(2), undefined))
  }
})

test('shared seeds are equal, split ones differ, and every salt is its own', () => {
  for (const nonce of [undefined, NONCE]) {
    const [shared, split] = [
      seedsFor(REPLICAS, 'shared', secretOf(3), nonce),
      seedsFor(REPLICAS, 'split', secretOf(3), nonce),
    ]
    assert.equal([noncesOf(shared), noncesOf(split)], [1, REPLICAS])
    assert.equal([saltsOf(shared), saltsOf(split)], [REPLICAS, REPLICAS])
    assert.equal([isSplit(INTENT, shared), isSplit(INTENT, split)], [false, true])
  }
})

test('who chose the sample gets it: nothing is hidden then', () => {
  for (let place = 0; place < 200; place += 1)
    for (const { nonce } of seedsFor(REPLICAS, 'hidden', secretOf(place), NONCE)) assert.equal(nonce, NONCE)
})

test('about one hidden job in ten has split seeds', () => {
  const jobs = 20_000
  let split = 0
  for (let place = 0; place < jobs; place += 1)
    if (noncesOf(seedsFor(2, 'hidden', secretOf(place), undefined)) > 1) split += 1
  const expected = (jobs * SPLIT_PERMILLE) / 1_000
  // Six standard deviations: by chance once in a billion seeds.
  const band = 6 * Math.sqrt(expected * (1 - SPLIT_PERMILLE / 1_000))
  assert.ok(Math.abs(split - expected) < band, `${split} of ${jobs}`)
})

test('jobs that do not say share their seed where audits judge nobody', () => {
  const { genesis, policies } = new LogSwarm().state
  const model = digestNamed('model')
  policies.set(`model/${model}`, { id: digestNamed('table'), body: new Uint8Array() })
  const { policy } = genesis
  assert.is(defaultMode({ genesis, policies }, model), 'hidden')
  assert.is(defaultMode({ genesis, policies }, digestNamed('another model')), 'shared')
  assert.is(defaultMode({ genesis: { ...genesis, local: true }, policies }, model), 'shared')
  const unaudited = { ...genesis, policy: { ...policy, auditPermille: 0 } }
  assert.is(defaultMode({ genesis: unaudited, policies }, model), 'shared')
})

test.run()
