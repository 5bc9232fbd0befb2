import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TextStream } from '../../../models/text-stream.ts'
import { seededRandom, testSeed } from '../../support/seeded-random.ts'

/** A tokeniser of single bytes, or of whatever pieces a test cuts. */
function pieces(cuts: readonly Uint8Array[]) {
  return (ids: readonly number[]): string => Buffer.concat(ids.map((id) => cuts[id] ?? new Uint8Array())).toString()
}

function partsOf(cuts: readonly Uint8Array[]): string[] {
  const stream = new TextStream(pieces(cuts), [])
  return [...cuts.map((_, id) => stream.push(id)), stream.end()]
}

const bytesOf = (text: string): Uint8Array[] => [...Buffer.from(text)].map((byte) => Uint8Array.of(byte))

test('text cut into single bytes comes whole, character by character', () => {
  assert.equal(partsOf(bytesOf('aß日🙂')), ['a', '', 'ß', '', '', '日', '', '', '', '🙂', ''])
})

test('any text cut anywhere comes back unchanged, with no half character in any part', () => {
  const random = seededRandom(testSeed())
  const letters = ['a', ' ', 'ß', '日', '🙂', '\u200b', '\n', 'é', '𝄞']
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: 1 + random.below(20) }, () => letters[random.below(letters.length)]).join('')
    const bytes = Buffer.from(text)
    const cuts: Uint8Array[] = []
    for (let at = 0; at < bytes.length; ) {
      const next = Math.min(bytes.length, at + 1 + random.below(5))
      cuts.push(bytes.subarray(at, next))
      at = next
    }
    const parts = partsOf(cuts)
    assert.is(parts.join(''), text)
    assert.not.ok(parts.some((part) => part.includes('\ufffd')))
  }
})

test('bytes that never become a character do not hold up what follows', () => {
  const broken = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80].map((byte) => Uint8Array.of(byte))
  const parts = partsOf([...broken, ...bytesOf('日b')])
  assert.is(parts[4], '\ufffd')
  assert.ok(parts.join('').endsWith('日b'))
})

test('a thousand broken bytes are not held for ever', () => {
  let longest = 0
  const stream = new TextStream((ids) => {
    longest = Math.max(longest, ids.length)
    return '\ufffd'.repeat(ids.length)
  }, [])
  const text = Array.from({ length: 1_000 }, () => stream.push(1)).join('') + stream.end()
  assert.is(text.length, 1_000)
  assert.ok(longest <= 64)
})

test('what is unfinished at the end shows as a replacement', () => {
  assert.equal(partsOf([Uint8Array.of(0x61), Uint8Array.of(0xe6)]), ['a', '', '\ufffd'])
})

test('the ids before a piece are passed on, so that a space can depend on them', () => {
  const seen: (readonly number[])[] = []
  const stream = new TextStream(
    (ids, before) => {
      seen.push(before)
      return ids.join('')
    },
    [9, 8, 7, 6, 5],
  )
  stream.push(1)
  stream.push(2)
  assert.equal(seen, [
    [8, 7, 6, 5],
    [7, 6, 5, 1],
  ])
})

test.run()
