/** Which tokenizer a file asks for, and what a BERT-type one makes of a text. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { USE_LITE } from '../../../models/catalogue.ts'
import { parseTokenizer } from '../../../models/vocabulary.ts'
import { BERT } from '../../support/onnx-file.ts'
import { idOf, wordPieceFile } from '../../support/word-pieces.ts'

function idsOf(text: string): readonly number[] {
  return [...(parseTokenizer(wordPieceFile())?.encode(text) ?? [])]
}

test('an array of pieces and scores is a unigram vocabulary', () => {
  const tokenizer = parseTokenizer(readFileSync(USE_LITE.tokenizer?.path ?? '', 'utf8'))
  assert.equal([...(tokenizer?.encode('Hello world') ?? [])], [341, 4125, 311])
  assert.is(tokenizer?.padId, 0)
  assert.is(tokenizer?.contextTokens, undefined)
})

test('words are cut into the longest pieces that the vocabulary has, between the start and the end token', () => {
  const expected = ['[CLS]', 'the', 'red', 'kite', '##s', 'sail', '.', '[SEP]']
  assert.equal(idsOf('The red kites sail.'), expected.map(idOf))
  assert.equal(idsOf('singing'), ['[CLS]', 'sing', '##ing', '[SEP]'].map(idOf))
})

test('case and accents do not count, and each Chinese character is a word', () => {
  assert.equal(idsOf('CAFÉ 日日'), ['[CLS]', 'cafe', '日', '日', '[SEP]'].map(idOf))
})

test('a word that no pieces cover is one unknown token', () => {
  assert.equal(idsOf('kiteflyer, a'), ['[CLS]', '[UNK]', ',', 'a', '[SEP]'].map(idOf))
  assert.equal(idsOf('x'.repeat(200)), ['[CLS]', '[UNK]', '[SEP]'].map(idOf))
})

test('a text is never cut, whatever the file says of truncation, and white space is nothing', () => {
  assert.is(idsOf('a '.repeat(100)).length, 102)
  assert.equal(idsOf(' \n\t'), [])
})

test('the file says how many ids there are, which one pads, and how much is read', () => {
  const tokenizer = parseTokenizer(wordPieceFile())
  assert.is(tokenizer?.vocabSize, BERT.vocabulary)
  assert.is(tokenizer?.padId, 0)
  assert.is(tokenizer?.contextTokens, BERT.places)
  const other = parseTokenizer(wordPieceFile({ padding: null, truncation: null }))
  assert.is(other?.padId, idOf('[PAD]'))
  assert.is(other?.contextTokens, undefined)
})

test('a file with a part that is not known is refused, not guessed at', () => {
  const wrong = [
    ...['', 'null', '{}', '{"model":null}', '{"model":{}}', '[["a",1]]'],
    wordPieceFile({ model: { type: 'Imaginary', vocab: {} } }),
    wordPieceFile({ normalizer: { type: 'Imaginary' } }),
    wordPieceFile({ pre_tokenizer: { type: 'Imaginary' } }),
    wordPieceFile({ added_tokens: undefined }),
  ]
  for (const text of wrong) assert.is(parseTokenizer(text), undefined, text.slice(0, 60))
})

test.run()
