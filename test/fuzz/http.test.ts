import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'
import { fuzzHttp } from './http.ts'

const REQUESTS = 400

test(
  'a daemon answers every complete request with a status and every refusal with a code, and is there afterwards',
  within(200_000, async () => {
    const report = await fuzzHttp(REQUESTS, testSeed())
    assert.equal(report.faults, [])
    assert.is(report.requests, REQUESTS)
    assert.ok(report.served > 0, 'some are served')
    assert.ok(Object.keys(report.codes).length > 3, 'refused for several reasons')
  }),
)

test.run()
