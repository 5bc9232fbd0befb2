import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allVectors } from './cases/all.ts'

for (const vectors of allVectors()) {
  test(`${vectors.name}.json is what make-vectors.ts writes`, () => {
    const path = new URL(`vectors/${vectors.name}.json`, import.meta.url)
    assert.is(readFileSync(path, 'utf8'), `${JSON.stringify(vectors, null, 2)}\n`)
  })
}

test.run()
