import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { EDITS, TWISTS, type Wish } from '../../../../node/calibration/outputs.ts'
import { PROMPT_KINDS, promptOf } from '../../../../node/calibration/prompts.ts'
import { Prng } from '../../../../node/simulation/prng.ts'

const SEED = 2_026
const OUTPUT = Uint32Array.from({ length: 40 }, (_, place) => 10 + (place % 7))
const STOP_IDS = [4]
const WISH: Wish = {
  promptIds: Uint32Array.of(1, 20, 21, 22),
  sampling: { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40 },
  seed: new Uint8Array(32).fill(255),
  maxTokens: 8,
}

test(`one token is edited: in the middle, into another of the output, and nothing else (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const places = new Set<number>()
  for (let run = 0; run < 300; run += 1) {
    const edited = EDITS['one token']?.(OUTPUT, STOP_IDS, prng)
    assert.ok(edited !== undefined && edited.length === OUTPUT.length)
    const changed = [...edited.entries()].filter(([place, id]) => id !== OUTPUT[place])
    assert.is(changed.length, 1)
    assert.ok(OUTPUT.includes(changed[0]?.[1] ?? -1))
    places.add(changed[0]?.[0] ?? -1)
  }
  assert.equal([Math.min(...places), Math.max(...places)], [8, 31])
  assert.is(EDITS['one token']?.(OUTPUT.subarray(0, 5), STOP_IDS, prng), undefined)
})

test(`an early stop is a beginning and a stop token (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (let run = 0; run < 300; run += 1) {
    const edited = EDITS['early stop']?.(OUTPUT, STOP_IDS, prng) ?? new Uint32Array()
    assert.ok(edited.length >= 9 && edited.length <= 33, `${edited.length}`)
    assert.equal([...edited.subarray(0, -1)], [...OUTPUT.subarray(0, edited.length - 1)])
    assert.is(edited.at(-1), 4)
  }
  assert.is(EDITS['early stop']?.(OUTPUT, [], prng), undefined)
})

test('each twist changes one thing of a wish', () => {
  const twisted = Object.fromEntries(Object.entries(TWISTS).map(([name, twist]) => [name, twist(WISH)]))
  assert.equal(twisted['temperature + 0.1']?.sampling, { ...WISH.sampling, temperatureMilli: 800 })
  assert.equal(twisted['best token only']?.sampling, { ...WISH.sampling, temperatureMilli: 0 })
  assert.equal(twisted['topK 5']?.sampling, { ...WISH.sampling, topK: 5 })
  assert.equal(twisted['seed + 1']?.seed, Uint8Array.from([0, ...new Uint8Array(31).fill(255)]))
  assert.equal(twisted['another prompt']?.promptIds, Uint32Array.of(1, 22, 21, 20))
  assert.equal(WISH.seed, new Uint8Array(32).fill(255))
})

test(`prompts take turns by kind and form, and the same seed makes the same (seed ${SEED})`, () => {
  const [one, other] = [new Prng(SEED), new Prng(SEED)]
  const prompts = Array.from({ length: 200 }, (_, index) => promptOf(index, one))
  assert.equal(
    prompts,
    Array.from({ length: 200 }, (_, index) => promptOf(index, other)),
  )
  assert.equal([...new Set(prompts.slice(0, 5).map(({ kind }) => kind))], [...PROMPT_KINDS])
  assert.is(new Set(prompts.slice(0, 10).map(({ kind, form }) => kind + form)).size, 10)
  assert.not.match(prompts.map(({ text }) => text).join(' '), /\{(?:name|thing|place|verb|number)\}/)
  assert.ok(new Set(prompts.map(({ text }) => text)).size > 150)
})

test.run()
