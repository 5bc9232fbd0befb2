/** Every bound is named with its unit and is used by something. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../core/limits.ts'
import { codeOnly, sources } from './source.ts'

const UNITS = /(?:Max|Min|Count|Bytes|Ms|Tokens|Chunks|Chars|Permille)$/

test('every bound is named with its unit', () => {
  assert.equal(
    Object.keys(LIMITS).filter((name) => !UNITS.test(name)),
    [],
  )
})

test('every bound is a whole number above zero', () => {
  const wrong = Object.entries(LIMITS).filter(
    ([, value]) => typeof value !== 'bigint' && !(Number.isSafeInteger(value) && value > 0),
  )
  assert.equal(wrong, [])
})

test('every bound is used', () => {
  const code = sources('{core,native,models,node}/**/*.ts')
    .filter(({ file }) => file !== 'core/limits.ts')
    .map(({ text }) => codeOnly(text))
    .join('\n')
  assert.equal(
    Object.keys(LIMITS).filter((name) => !new RegExp(`\\bLIMITS\\.${name}\\b`).test(code)),
    [],
  )
})

test.run()
