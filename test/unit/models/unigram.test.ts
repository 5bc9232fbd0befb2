/** The tokenizer of the bundled sentence encoder: known ids, and what holds for any text. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { USE_LITE } from '../../../models/catalogue.ts'
import { createUnigram, parseVocabulary, type Vocabulary } from '../../../models/unigram.ts'
import { testSeed } from '../../support/seeded-random.ts'

const VOCABULARY: Vocabulary = parseVocabulary(JSON.parse(readFileSync(USE_LITE.tokenizer?.path ?? '', 'utf8'))) ?? []
const { encode, vocabSize } = createUnigram(VOCABULARY)

/** Checked against another implementation of the same algorithm. */
const GOLDEN: readonly (readonly [text: string, ids: readonly number[]])[] = [
  ['The quick brown fox jumps over the lazy dog.', [34, 2280, 3744, 1394, 152, 2009, 7, 132, 9, 6266, 959, 6]],
  ['How are you?', [728, 31, 19, 54]],
  ['Hello world', [341, 4125, 311]],
  ['A', [74]],
  ['3.14159 is π', [1766, 2363, 1681, 564, 18, 30, 7936]],
  ['naïve café', [1216, 0, 105, 976, 209, 1133]],
  ['日本語 and emoji 🙂🙂 mixed', [30, 0, 12, 299, 451, 2501, 30, 0, 4963]],
  ['antidisestablishmentarianism', [1531, 3175, 281, 1112, 2873, 284, 3619, 639]],
  [
    'I don’t know what to say, but it costs $5,000!',
    [16, 101, 2390, 17, 123, 87, 10, 196, 8, 41, 21, 2138, 583, 3406, 78],
  ],
  [
    'email@example.com https://example.com/a?b=c',
    [1428, 2245, 773, 1563, 147, 6, 167, 290, 7, 255, 773, 1563, 147, 6, 167, 68, 86, 54, 151, 413, 131],
  ],
  [
    'Ünïcödé is hard – “quotes” and ½ ﬁ',
    [30, 0, 85, 0, 131, 6781, 29, 1133, 18, 395, 432, 77, 1699, 5070, 7, 236, 12, 207, 7935, 288, 1480],
  ],
]

for (const [text, ids] of GOLDEN)
  test(`${JSON.stringify(text)} has its ids`, () => assert.equal([...encode(text)], ids))

const PARAMETERS = { seed: testSeed(), numRuns: 300 }

test('any text at all gives ids of the vocabulary, at most one for each character and one more', () => {
  const property = fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
    const ids = encode(text)
    const chars = [...text.normalize('NFKC')].length
    assert.ok(ids.length <= chars + 1)
    assert.ok(ids.every((id) => id === 0 || (id >= 6 && id < vocabSize)))
  })
  fc.assert(property, PARAMETERS)
})

test('what has no unknown character comes back from its pieces', () => {
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz ,.ABC019')
  const property = fc.property(fc.string({ unit: letters, maxLength: 120 }), (text) => {
    const pieces = [...encode(text)].map((id) => VOCABULARY[id]?.[0] ?? '')
    assert.is(pieces.join('').replaceAll('▁', ' ').trim(), text.replace(/ +/g, ' ').trim())
  })
  fc.assert(property, PARAMETERS)
})

test('no cut into pieces scores more than the one that is found', () => {
  const scores = new Map(VOCABULARY.slice(6))
  const bestScore = (text: string): number => {
    const sums = [0]
    for (let end = 1; end <= text.length; end++)
      sums[end] = Math.max(
        ...Array.from(
          { length: Math.min(end, 16) },
          (_, back) => (sums[end - back - 1] ?? 0) + (scores.get(text.slice(end - back - 1, end)) ?? -1_000),
        ),
      )
    return sums[text.length] ?? 0
  }
  const letters = fc.constantFrom(...'abcdefinorst ')
  const property = fc.property(fc.string({ unit: letters, minLength: 1, maxLength: 60 }), (text) => {
    const clean = text.replace(/ +/g, ' ').trim()
    const found = [...encode(text)].reduce((sum, id) => sum + (VOCABULARY[id]?.[1] ?? 0), 0)
    const best = clean === '' ? 0 : bestScore(`▁${clean.replaceAll(' ', '▁')}`)
    assert.ok(Math.abs(found - best) < 1e-9)
  })
  fc.assert(property, PARAMETERS)
})

test('white space of any kind and length is one space, and control characters are nothing', () => {
  const plain = [...encode('two words')]
  for (const text of [' two  words ', 'two\n\twords\r\n', 'two\u00a0\u200bwords', 't\u0001wo wo\u007frds', 'two▁words'])
    assert.equal([...encode(text)], plain)
  for (const text of ['', ' ', '\n\t\u200b', '\u0000']) assert.is(encode(text).length, 0)
})

test('a run of unknown characters is one id', () => {
  assert.equal([...encode('日'.repeat(50))], [30, 0])
})

test('a megabyte is read to its end', () => {
  assert.is(encode('hello world '.repeat(80_000)).length, 240_000)
})

test('millions of marks on one letter take no longer than as many letters', () => {
  const pairs = 1_024 * 1_024
  // Below goes before above: 32 that are unknown, which are one id, then 32 that are known.
  assert.is(encode(`a${'\u0301\u0316'.repeat(pairs)}`).length, 1 + (pairs / 32) * 33)
  assert.is(encode(`a${'\uff9e\u0301'.repeat(pairs)}`).length, 1 + (pairs / 32) * 33)
  assert.equal(
    encode(`a\u0316${'\u0301'.repeat(62)}`),
    encode(`a${'\u0301'.repeat(62)}\u0316`),
    'a few are put in order',
  )
})

test('what is no vocabulary is refused', () => {
  const fine = Array.from({ length: 8 }, (_, id) => [`p${id}`, -id])
  assert.is(parseVocabulary(fine)?.length, 8)
  const wrong = [
    ...['', {}, null, [], fine.slice(0, 6)],
    ...['x', ['x'], ['', -1], ['x'.repeat(65), -1], ['x', '1'], [1, 1]].map((piece) => [...fine, piece]),
  ]
  for (const value of wrong) assert.is(parseVocabulary(value), undefined)
})

test.run()
