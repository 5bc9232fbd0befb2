import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'
import { allCodecs } from './codecs.ts'
import { makeCorpus } from './corpus.ts'
import { fuzzDecoder } from './decoder.ts'

const INPUTS = 30_000

test('every codec has a valid body to start from', async () => {
  const codecs = await allCodecs()
  assert.ok(codecs.length >= 30, 'the codecs of core are found')
  const { bodies, envelopes, receipts, votes, genesis } = makeCorpus(codecs)
  const without = codecs.filter((codec) => bodies.get(codec)?.length === 0)
  assert.equal(
    without.map(({ type }) => type),
    [],
  )
  for (const seeds of [envelopes, receipts, votes, genesis]) assert.ok(seeds.length > 0)
})

test(
  'random and changed bytes are accepted or refused with a reason, and nothing is thrown',
  within(120_000, async () => {
    const report = await fuzzDecoder(INPUTS, testSeed())
    assert.equal(report.faults, [])
    assert.ok(report.accepted > 0, 'some are accepted')
    assert.ok(report.reachedSchema > report.accepted, 'some are refused by a schema')
    const silent = Object.entries(report.outcomes).filter(([, counts]) => Object.keys(counts).length < 3)
    assert.equal(silent, [], 'each reader accepts some and refuses some, for several reasons')
  }),
)

test.run()
