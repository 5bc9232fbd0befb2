/** What a worker learns of a job's seeds: its own, and nothing of the others'. Bytes and refusals are in the vectors `inputs.json`. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../../../core/codec/bytes.ts'
import { LIMITS } from '../../../../core/limits.ts'
import {
  areSeedsOf,
  isSplit,
  jobInputsCodec,
  replicaInputsCodec,
  replicaInputsOf,
  type Seed,
  seedNames,
  seedsCommitmentOf,
  seedsIn,
} from '../../../../core/log/inputs.ts'
import type { Intent } from '../../../../core/log/intent.ts'
import { expectAccepted } from '../../../support/job-run.ts'
import { intentOfAlice } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { type SeededRandom, seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { jobInputs, sharedSeeds, splitSeeds } from '../../../support/seeds.ts'

const REPLICAS = 3
const PAYLOAD = Uint8Array.of(1, 2, 3)
const random = seededRandom(testSeed())

function bytes32({ below }: Pick<SeededRandom, 'below'>): Uint8Array {
  return Uint8Array.from({ length: 32 }, () => below(256))
}

function anySeeds(replicas: number, split: boolean): readonly Seed[] {
  const shared = bytes32(random)
  return Array.from({ length: replicas }, () => ({
    nonce: split ? bytes32(random) : shared,
    salt: bytes32(random),
  }))
}

test('what a replica is told holds its own seed and no other’s, and is as long in either kind of job', () => {
  for (let round = 0; round < 50; round += 1)
    for (let replicas = 1; replicas <= LIMITS.replicaCountMax; replicas += 1) {
      const kinds = [true, false].map((split) => anySeeds(replicas, split))
      const told = kinds.map((seeds) => seeds.map((_, replica) => replicaInputsOf(jobInputs(PAYLOAD, seeds), replica)))
      assert.is(new Set(told.flat().map(({ length }) => length)).size, 1)
      for (const [kind, seeds] of kinds.entries())
        for (const [place, one] of (told[kind] ?? missing()).entries()) {
          const { nonce, salt } = expectAccepted(replicaInputsCodec.decode(one))
          assert.equal({ nonce, salt }, seeds[place])
          for (const [other, { nonce: itsNonce, salt: itsSalt }] of seeds.entries()) {
            if (other === place) continue
            assert.not.ok(toHex(one).includes(toHex(itsSalt)))
            if (kind === 0) assert.not.ok(toHex(one).includes(toHex(itsNonce)))
          }
        }
    }
})

test('equal seeds have different commitments: a worker cannot compare them', () => {
  const seeds = anySeeds(REPLICAS, false)
  const { commitments } = expectAccepted(replicaInputsCodec.decode(replicaInputsOf(jobInputs(PAYLOAD, seeds), 0)))
  assert.is(new Set(commitments).size, REPLICAS)
})

test('seeds that are changed, swapped, left out or added are not those that were signed', () => {
  for (let round = 0; round < 50; round += 1) {
    const seeds = anySeeds(REPLICAS, random.below(2) === 0)
    const signed = { replicas: REPLICAS, seedsCommitment: seedsCommitmentOf(seeds) }
    const [first, second, third] = [0, 1, 2].map((place) => seeds[place] ?? missing())
    assert.ok(areSeedsOf(signed, seeds))
    const place = random.below(REPLICAS)
    const others = [
      [second, first, third],
      seeds.slice(1),
      [...seeds, first],
      seeds.with(place, { ...(seeds[place] ?? missing()), nonce: bytes32(random) }),
      seeds.with(place, { ...(seeds[place] ?? missing()), salt: bytes32(random) }),
    ]
    for (const other of others) assert.not.ok(areSeedsOf(signed, other as readonly Seed[]))
    assert.not.ok(areSeedsOf({ ...signed, replicas: REPLICAS + 1 }, seeds))
  }
})

test('names of seeds differ where tokens are drawn from them and can be audited, and nowhere else', () => {
  const { sampling } = intentOfAlice()
  const drawn: Intent = intentOfAlice({ sampling: { ...sampling, temperatureMilli: 700 } })
  const cases: readonly (readonly [name: string, intent: Intent, isSplit: boolean])[] = [
    ['sampled', drawn, true],
    ['temperature 0', intentOfAlice({ sampling: { ...sampling, temperatureMilli: 0 } }), false],
    ['a sampler that nobody repeats', { ...drawn, sampling: { ...drawn.sampling, kind: 'llama' } }, false],
    ['vectors', { ...drawn, task: 'embedding' }, false],
  ]
  for (const [name, intent, expected] of cases) {
    assert.is(isSplit(intent, splitSeeds(REPLICAS)), expected, name)
    assert.is(new Set(seedNames(intent, splitSeeds(REPLICAS))).size, expected ? REPLICAS : 1, name)
    assert.not.ok(isSplit(intent, sharedSeeds(REPLICAS)), name)
  }
})

test('inputs that are gone or malformed, and replicas that there are none of, give nothing', () => {
  const whole = jobInputs(PAYLOAD, sharedSeeds(REPLICAS))
  for (const encoded of [undefined, new Uint8Array(), whole.subarray(1)]) {
    assert.is(replicaInputsOf(encoded, 0).length, 0)
    assert.equal(seedsIn(encoded), [])
  }
  assert.is(replicaInputsOf(whole, REPLICAS).length, 0)
  assert.equal(seedsIn(whole), sharedSeeds(REPLICAS))
})

test('the largest inputs fit their body', () => {
  const payload = new Uint8Array(LIMITS.payloadBytesMax)
  const seeds = sharedSeeds(LIMITS.replicaCountMax)
  assert.equal(expectAccepted(jobInputsCodec.decode(jobInputs(payload, seeds))).seeds, seeds)
  assert.is(
    expectAccepted(replicaInputsCodec.decode(replicaInputsOf(jobInputs(payload, seeds), 4))).payload.length,
    payload.length,
  )
})

test.run()
