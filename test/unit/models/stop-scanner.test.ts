import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { StopScanner } from '../../../models/stop-scanner.ts'
import { testSeed } from '../../support/seeded-random.ts'

/** Characters told when the scanner says that a stop string has come; undefined when it never does. */
function endOf(pieces: readonly string[], stop: readonly string[]): number | undefined {
  const scanner = new StopScanner(stop)
  let told = 0
  for (const piece of pieces) {
    told += piece.length
    if (scanner.push(piece)) return told
  }
  return undefined
}

test('a stop string is found within a piece, over pieces, and at the very end', () => {
  assert.is(endOf(['ab', 'END', 'c'], ['END']), 5)
  assert.is(endOf(['aE', 'N', '', 'Db'], ['END']), 5)
  assert.is(endOf(['a', '\n', '\n'], ['x', '\n\n']), 3)
  assert.is(endOf(['日', '本語'], ['本']), 3)
  assert.is(endOf(['anything'], []), undefined)
})

test('what only begins a stop string is none', () => {
  assert.is(endOf(['EN', 'EN', 'E', 'N'], ['END']), undefined)
  assert.is(endOf(['EN', 'END'], ['END']), 5)
})

test('any cut of any text ends with the piece in which the first stop string ends', () => {
  const letters = fc.constantFrom('a', 'b', '🙂', '日')
  const text = fc.string({ unit: letters, maxLength: 40 })
  const stops = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })
  const property = fc.property(fc.array(text, { maxLength: 8 }), stops, (pieces, stop) => {
    const whole = pieces.join('')
    const ends = stop.flatMap((wanted) => {
      const at = whole.indexOf(wanted)
      return at < 0 ? [] : [at + wanted.length]
    })
    let told = 0
    const expected = pieces
      .map((piece) => {
        told += piece.length
        return told
      })
      .find((end) => ends.some((first) => first <= end))
    assert.is(endOf(pieces, stop), expected)
  })
  fc.assert(property, { seed: testSeed(), numRuns: 500 })
})

test.run()
