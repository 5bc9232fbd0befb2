import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createThoughtSplitter, type Told } from '../../../../models/tools/thoughts.ts'

const THINK = { open: '<think>', close: '</think>', startsOpen: { default: false, on: true, off: false } }

function told(text: string, startsOpen: boolean, charsEach: number): Told {
  const splitter = createThoughtSplitter(THINK, startsOpen)
  const all = { reasoning: '', text: '' }
  const take = (piece: Told): void => {
    all.reasoning += piece.reasoning
    all.text += piece.text
  }
  for (let at = 0; at < text.length; at += charsEach) take(splitter.push(text.slice(at, at + charsEach)))
  take(splitter.end())
  return all
}

const CASES: readonly (readonly [what: string, startsOpen: boolean, text: string, reasoning: string, said: string])[] =
  [
    ['thoughts, then words', false, '<think>\nHm, 2 < 3.\n</think>\n\nThree.\n', 'Hm, 2 < 3.', 'Three.\n'],
    ['thoughts that the prompt opened', true, 'Hm.\n\nSo.\n</think>\nThree.', 'Hm.\n\nSo.', 'Three.'],
    ['a mark that the prompt had already', true, '<think>\nHm.</think>Three.', 'Hm.', 'Three.'],
    ['empty thoughts', false, '<think>\n\n</think>\n\nThree.', '', 'Three.'],
    ['words alone', false, 'Three. <think> no </think>', '', 'Three. <think> no </think>'],
    ['words behind space', false, '\n Three.', '', '\n Three.'],
    ['a beginning of the mark', false, '<thin', '', '<thin'],
    ['a mark twice', false, '<think>a</think>b</think>c', 'a', 'b</think>c'],
    ['thoughts that are cut off', false, '<think>Hm, </thi', 'Hm, </thi', ''],
    ['thoughts that never began', true, '<thi', '<thi', ''],
    ['nothing', true, '', '', ''],
  ]
for (const [what, startsOpen, text, reasoning, said] of CASES)
  test(`${what}: told apart however the text is cut`, () => {
    for (const charsEach of [1, 2, 3, 7, 100])
      assert.equal(told(text, startsOpen, charsEach), { reasoning, text: said })
  })

test('thoughts are told while they come', () => {
  const splitter = createThoughtSplitter(THINK, true)
  assert.equal(splitter.push('First '), { reasoning: 'First', text: '' })
  assert.equal(splitter.push('this, '), { reasoning: ' this,', text: '' })
  assert.equal(splitter.push('then that.</think>So'), { reasoning: ' then that.', text: 'So' })
})

test.run()
