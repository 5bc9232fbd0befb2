/** However a text is cut into pieces, what is shown of it is the same, and never a part of a stop string that came. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { StopFilter } from '../../../../node/control/stop-filter.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const seed = testSeed()
/** Few letters, so that stop strings are met, overlap and nearly come; one of them is two UTF-16 units. */
const letters = fc.constantFrom('a', 'b', 'c', '🌍')
const word = (minLength: number, maxLength: number) =>
  fc.array(letters, { minLength, maxLength }).map((chars) => chars.join(''))
const stops = fc.array(word(1, 5), { minLength: 1, maxLength: 4 })
const pieces = fc.array(word(0, 4), { maxLength: 24 })

function shownOf(
  stop: readonly string[],
  parts: readonly string[],
): { readonly shown: string; readonly isCut: boolean } {
  const filter = new StopFilter(stop)
  const shown = parts.map((part) => filter.push(part)).join('') + filter.flush()
  return { shown, isCut: filter.isCut }
}

/** What the whole text says: everything before the first place where a stop string stands. */
function expected(stop: readonly string[], text: string): string {
  const found = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0)
  return found.length === 0 ? text : text.slice(0, Math.min(...found))
}

test('any cut of a text into pieces shows the text up to its first stop string', () => {
  fc.assert(
    fc.property(stops, pieces, (stop, parts) => {
      const text = parts.join('')
      const { shown, isCut } = shownOf(stop, parts)
      assert.is(shown, expected(stop, text))
      assert.is(isCut, shown !== text)
      assert.is(shownOf(stop, [text]).shown, shown)
    }),
    { seed, numRuns: 5_000 },
  )
})

test('what has been shown is never taken back, and holds no character that a stop string would take', () => {
  fc.assert(
    fc.property(stops, pieces, (stop, parts) => {
      const filter = new StopFilter(stop)
      const final = expected(stop, parts.join(''))
      let shown = ''
      for (const part of parts) {
        shown += filter.push(part)
        assert.ok(final.startsWith(shown))
      }
    }),
    { seed, numRuns: 5_000 },
  )
})

test('nothing is held back that can be no beginning of a stop string', () => {
  fc.assert(
    fc.property(stops, pieces, (stop, parts) => {
      const filter = new StopFilter(stop)
      let [told, shown] = ['', '']
      for (const part of parts) {
        told += part
        shown += filter.push(part)
        if (filter.isCut) return
        const held = told.slice(shown.length)
        const begins = stop.some((one) => one.length > held.length && one.startsWith(held))
        assert.ok(held === '' || begins, `${JSON.stringify(held)} begins no stop string`)
      }
    }),
    { seed, numRuns: 5_000 },
  )
})

test('a stop string that began earlier wins over one that is complete sooner', () => {
  assert.equal(shownOf(['abcd', 'bc'], ['xabc', 'd']), { shown: 'x', isCut: true })
  assert.equal(shownOf(['abcd', 'bc'], ['xabc', 'e']), { shown: 'xa', isCut: true })
  assert.equal(shownOf(['abcd', 'bc'], ['xabc']), { shown: 'xa', isCut: true })
})

test('what was held back comes with the end', () => {
  const filter = new StopFilter(['\n\nUser:'])
  assert.is(filter.push('Hello.\n\nUs'), 'Hello.')
  assert.is(filter.flush(), '\n\nUs')
  assert.is(filter.flush(), '')
})

test.run()
