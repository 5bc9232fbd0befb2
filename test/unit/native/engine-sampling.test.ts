/** What the engine chooses, measures and shows, against the TypeScript that defines it: equal to the last bit. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../../core/codec/bytes.ts'
import { parseJobId } from '../../../core/ids.ts'
import { chooseToken, gumbelNoise, jobSeed, positionHash, topPlaces } from '../../../core/verification/gumbel.ts'
import { marginOf } from '../../../core/verification/margin.ts'
import { logprobOf } from '../../../models/generate-run.ts'
import type { Candidates } from '../../../models/run.ts'
import { type LlamaSampling, sampleToken } from '../../../models/sampler.ts'
import { StopScanner } from '../../../models/stop-scanner.ts'
import { TextStream } from '../../../models/text-stream.ts'
import { listOf, numberOf } from '../../conformance/fields.ts'
import { bytesOf, type VectorFile } from '../../conformance/vector.ts'
import { type AnswerReader, answersTo, buildAnswerer, CaseWriter } from '../../support/engine-cases.ts'
import { missing } from '../../support/missing.ts'
import { seededRandom, testSeed } from '../../support/seeded-random.ts'

const CANDIDATES_MAX = 64
const ID_MAX = 2 ** 31 - 1
const TWO_POW_52 = 2 ** 52
const VECTORS = new URL('../../conformance/vectors/gumbel.json', import.meta.url)

const random = seededRandom(testSeed())
const binary = buildAnswerer()
const float = new DataView(new ArrayBuffer(8))

/** Registers a test that this machine can run, or not. */
function bound(name: string, body: (answerer: string) => void): void {
  if (binary === undefined) return
  test(name, () => body(binary))
}

const unit = (): number => random.below(2 ** 32) / 2 ** 32
const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] ?? missing()

/** Any double: all bit patterns are as likely. */
function anyDouble(): number {
  float.setUint32(0, random.below(2 ** 32))
  float.setUint32(4, random.below(2 ** 32))
  return float.getFloat64(0)
}

function anyLogit(kind: number): number {
  if (kind === 0) return random.below(6)
  if (kind === 1 && random.below(8) === 0) return pick([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0])
  return Math.fround(unit() * 30 - 15)
}

/** As an engine gives them: best first, ties by lower id. */
function anyCandidates(): Candidates {
  const kind = random.below(4)
  const count = random.below(4) === 0 ? 1 + random.below(CANDIDATES_MAX) : CANDIDATES_MAX
  const ids = [...new Set(Array.from({ length: count }, () => random.below(random.below(2) === 0 ? 100 : ID_MAX)))]
  return sorted({ ids, logits: ids.map(() => anyLogit(kind)) })
}

function sorted({ ids, logits }: Candidates): Candidates {
  const places = topPlaces(ids, logits, CANDIDATES_MAX)
  return { ids: places.map((place) => ids[place] ?? 0), logits: places.map((place) => logits[place] ?? 0) }
}

function write(cases: CaseWriter, { ids, logits }: Candidates): void {
  cases.whole(ids.length)
  for (const [place, id] of ids.entries()) cases.whole(id).single(logits[place] ?? Number.NaN)
}

/** Object.is tells zeros apart and knows what is no number. */
function same(found: number, wanted: number, what: string): void {
  if (!Object.is(found, wanted)) assert.unreachable(`${what}: ${found}, wanted ${wanted}`)
}

function checkFunction(answerer: string, letter: string, of: (x: number) => number, values: Float64Array): void {
  const cases = new CaseWriter().begin(letter).whole(values.length).bytes(new Uint8Array(values.buffer))
  const answers = answersTo(answerer, cases)
  for (const value of values) same(answers.double(), of(value), `${letter}(${value})`)
}

bound('the logarithm is that of JavaScript, for any number and for those that gumbel-v1 takes it of', (answerer) => {
  const draws = Float64Array.from({ length: 400_000 }, () => {
    const hash = random.below(2 ** 32) * 2 ** 20 + (random.below(2 ** 32) >>> 12)
    return (hash + 0.5) / TWO_POW_52
  })
  checkFunction(answerer, 'l', Math.log, draws)
  checkFunction(
    answerer,
    'l',
    Math.log,
    draws.map((u) => -Math.log(u)),
  )
  checkFunction(answerer, 'l', Math.log, Float64Array.from({ length: 400_000 }, anyDouble))
  const edges = [0, -0, 1, -1, 5e-324, 2 ** -1022, 2 ** -53, 1 - 2 ** -53, 1 + 2 ** -52, 1 + 2 ** -20, 1 - 2 ** -21]
  checkFunction(answerer, 'l', Math.log, Float64Array.of(...edges, Infinity, -Infinity, Number.NaN, Math.SQRT2))
})

bound('the exponential is that of JavaScript', (answerer) => {
  const near = (width: number) => Float64Array.from({ length: 300_000 }, () => (unit() - 0.5) * width)
  checkFunction(answerer, 'e', Math.exp, near(2))
  checkFunction(answerer, 'e', Math.exp, near(100))
  checkFunction(answerer, 'e', Math.exp, near(1500))
  checkFunction(answerer, 'e', Math.exp, Float64Array.from({ length: 200_000 }, anyDouble))
  const edges = [0, -0, 1, -1, 709.78, 709.79, -745.1, -745.2, -708.4, 2 ** -28, 2 ** -29, Math.LN2 / 2, 1.5 * Math.LN2]
  checkFunction(answerer, 'e', Math.exp, Float64Array.of(...edges, Infinity, -Infinity, Number.NaN))
})

bound('the best 64 of a row are those of topPlaces', (answerer) => {
  const cases = new CaseWriter()
  const rows = Array.from({ length: 300 }, () => {
    const kind = random.below(4)
    return Array.from({ length: 1 + random.below(2_000) }, () => (random.below(9) === 0 ? Number.NaN : anyLogit(kind)))
  })
  for (const row of rows) {
    cases.begin('r').whole(row.length)
    for (const logit of row) cases.single(logit)
  }
  const answers = answersTo(answerer, cases)
  for (const row of rows) {
    const ids = row.map((_, id) => id)
    const places = topPlaces(ids, row, CANDIDATES_MAX)
    same(answers.whole(), places.length, 'the count')
    for (const place of places) {
      same(answers.whole(), place, 'the id')
      same(answers.single(), row[place] ?? missing(), 'the logit')
    }
  }
})

type GumbelCase = {
  readonly found: Candidates
  readonly seed: Uint8Array
  readonly t: number
  readonly temperature: number
  readonly topK: number
  readonly claimed: number
}

function anyGumbelCase(): GumbelCase {
  const found = anyCandidates()
  return {
    found,
    seed: random.bytes(32),
    t: random.below(3) === 0 ? random.below(2 ** 32) : random.below(500),
    temperature: random.below(8) === 0 ? 0 : random.below(2_001) / 1000,
    topK: 1 + random.below(40),
    claimed: random.below(10) === 0 ? random.below(ID_MAX) : pick(found.ids),
  }
}

function writeGumbel(cases: CaseWriter, { found, seed, t, temperature, topK, claimed }: GumbelCase): void {
  cases.begin('g').bytes(seed).double(temperature).whole(topK).whole(t).whole(claimed)
  write(cases, found)
}

function checkGumbel(answers: AnswerReader, { found, seed, t, temperature, topK, claimed }: GumbelCase): number {
  const { ids, logits } = found
  const chosen = chooseToken(ids, logits, topK, temperature, seed, t)
  const { margin, rank } = marginOf(ids, logits, claimed, topK, temperature, seed, t)
  const hash = positionHash(seed, t)
  same(answers.whole(), chosen, 'the choice')
  same(answers.double(), margin, 'the margin')
  same(answers.whole(), rank, 'the rank')
  same(answers.double(), logprobOf(found, claimed), 'the log-probability')
  assert.is(toHex(answers.bytes(hash.length)), toHex(hash))
  same(answers.double(), temperature === 0 ? 0 : gumbelNoise(hash, claimed), 'the noise')
  return chosen
}

bound('20,000 choices, margins and log-probabilities of gumbel-v1 are those of core', (answerer) => {
  const asked = Array.from({ length: 20_000 }, anyGumbelCase)
  const cases = new CaseWriter()
  for (const one of asked) writeGumbel(cases, one)
  const answers = answersTo(answerer, cases)
  for (const one of asked) checkGumbel(answers, one)
  assert.ok(answers.isAtEnd)
})

bound('the golden vectors of gumbel-v1 hold, but for ids that no vocabulary has', (answerer) => {
  const { cases: vectors }: VectorFile = JSON.parse(readFileSync(VECTORS, 'utf8'))
  const cases = new CaseWriter()
  const asked = vectors.flatMap(({ input, accept }) => {
    const [ids, logits] = [listOf(input, 'ids').map(Number), listOf(input, 'logits').map(Number)]
    if (ids.some((id) => id > ID_MAX)) return []
    const one: GumbelCase = {
      found: sorted({ ids, logits }),
      seed: jobSeed(parseJobId(input['jobId']) ?? missing(), bytesOf(input, 'seedNonce')),
      t: numberOf(input, 't'),
      temperature: numberOf(input, 'temperatureMilli') / 1000,
      topK: numberOf(input, 'topK'),
      claimed: numberOf(input, 'claimed'),
    }
    writeGumbel(cases, one)
    return [{ one, accept }]
  })
  const answers = answersTo(answerer, cases)
  for (const { one, accept } of asked) assert.is(checkGumbel(answers, one) === one.claimed, accept)
  assert.ok(asked.length >= 15)
})

type LlamaCase = {
  readonly found: Candidates
  readonly sampling: LlamaSampling
  readonly counts: ReadonlyMap<number, number>
  readonly t: number
}

function anyLlamaCase(): LlamaCase {
  const found = anyCandidates()
  const sometimes = (off: number, on: () => number): number => (random.below(2) === 0 ? off : on())
  const sampling: LlamaSampling = {
    kind: 'llama',
    temperature: sometimes(pick([0, 1, 0.7]), () => unit() * 2),
    topK: sometimes(0, () => 1 + random.below(80)),
    topP: sometimes(1, unit),
    minP: sometimes(0, () => unit() ** 3),
    frequencyPenalty: sometimes(0, () => unit() * 4 - 2),
    presencePenalty: sometimes(0, () => unit() * 4 - 2),
    seed: random.below(2 ** 32),
  }
  const said = Array.from({ length: random.below(20) }, () => pick(found.ids))
  const counts = new Map<number, number>()
  for (const id of said) counts.set(id, (counts.get(id) ?? 0) + 1)
  return { found, sampling, counts, t: random.below(10_000) }
}

function writeLlama(cases: CaseWriter, { found, sampling, counts, t }: LlamaCase): void {
  cases.begin('s').double(sampling.temperature).whole(sampling.topK).double(sampling.topP).double(sampling.minP)
  cases.double(sampling.frequencyPenalty).double(sampling.presencePenalty).whole(sampling.seed).whole(t)
  cases.whole(counts.size)
  for (const [id, count] of counts) cases.whole(id).whole(count)
  write(cases, found)
}

bound('20,000 draws of the llama kind are those of models/sampler.ts', (answerer) => {
  const asked = Array.from({ length: 20_000 }, anyLlamaCase)
  const cases = new CaseWriter()
  for (const one of asked) writeLlama(cases, one)
  const answers = answersTo(answerer, cases)
  for (const { found, sampling, counts, t } of asked)
    same(answers.whole(), sampleToken(found, sampling, counts, t), JSON.stringify(sampling))
})

/** Pieces that end inside of characters, are none, or look like what stands for none. */
const SCRAPS = ['a', 'bc ', 'ß', '日', '🙂', '\ufffd', '\ufeff', ''].map((text) => Buffer.from(text))
const BROKEN = ['80', 'c3', 'a9', 'e697', 'a5', 'f09f', '9982', 'ed', 'f4', '9f', 'c080', 'ff', 'e0'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

function anyPieces(): readonly Uint8Array[] {
  const length = random.below(10) === 0 ? 150 : random.below(25)
  const brokenOf10 = random.below(11)
  return Array.from({ length }, () => pick(random.below(10) < brokenOf10 ? BROKEN : SCRAPS))
}

bound('5,000 streams of bytes come out in the pieces that TextStream gives', (answerer) => {
  const asked = Array.from({ length: 5_000 }, anyPieces)
  const cases = new CaseWriter()
  for (const pieces of asked) cases.begin('t').texts(pieces)
  const answers = answersTo(answerer, cases)
  for (const pieces of asked) {
    const stream = new TextStream((ids) => Buffer.concat(ids.map((id) => pieces[id] ?? missing())).toString(), [])
    const wanted = [...pieces.map((_, id) => stream.push(id)), stream.end()]
    assert.equal(
      wanted.map(() => answers.text()),
      wanted,
    )
  }
})

bound('5,000 texts stop where StopScanner stops them', (answerer) => {
  const letters = ['a', 'b', '🙂', '日']
  const text = (max: number) => Array.from({ length: random.below(max) }, () => pick(letters)).join('')
  const asked = Array.from({ length: 5_000 }, () => ({
    stop: Array.from({ length: random.below(5) }, () => pick(letters) + text(4)),
    pieces: Array.from({ length: random.below(12) }, () => text(6)),
  }))
  const cases = new CaseWriter()
  for (const { stop, pieces } of asked) cases.begin('x').texts(stop).texts(pieces)
  const answers = answersTo(answerer, cases)
  for (const { stop, pieces } of asked) {
    const scanner = new StopScanner(stop)
    const said = pieces.map(() => answers.byte() === 1)
    const wanted = pieces.map((piece) => scanner.push(piece))
    // Nobody asks again after the first.
    assert.is(said.indexOf(true), wanted.indexOf(true), JSON.stringify({ stop, pieces }))
  }
})

test.run()
