/** Rows 32 and 33: embeddings that are not the model's, or not the worker's own. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash } from '#core/hash'
import { outputCommit, textDigest, tokensRoot } from '../../core/verification/commitment.ts'
import { isSameMeaning, vectorFault, wordsOf } from '../../core/verification/vectors.ts'
import type { Backend } from '../../models/backend.ts'
import { NEVER } from '../support/ask-backend.ts'
import { sharedLoad } from '../support/drivers.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { jobNamed, keyNamed } from '../support/people.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'

const LIMIT_MS = 120_000
const TEXTS = ['The cat sat on the mat.', 'A red boat sails at dawn.', 'How do I bake bread?', 'Send 5 coins to Mia.']

const test = suite<{ encoder: Backend; vectors: readonly Float32Array[] }>('vectors')
test.before(async (context) => {
  context.encoder = createHost().backend
  await context.encoder.load(USE_LOAD)
  context.vectors = (await context.encoder.embed(TEXTS, NEVER)).vectors
})
test.after(closeHosts)

const unit = (vector: Float32Array): Float32Array => {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return vector.map((value) => value / length)
}

/** Only as many levels a side as so many bits tell apart. */
function coarser(vector: Float32Array, bits: number): Float32Array {
  const step = Math.max(...vector.map(Math.abs)) / (2 ** (bits - 1) - 1)
  return unit(vector.map((value) => Math.round(value / step) * step))
}

test('row 32: shorter vectors have no sound shape, coarser ones another direction', ({ vectors }) =>
  within(LIMIT_MS, async () => {
    const dimensions = vectors[0]?.length ?? 0
    const shape = { count: TEXTS.length, dimensions }
    const words = wordsOf(vectors)
    const alike = (others: readonly Float32Array[]) => isSameMeaning(words, wordsOf(others), shape)
    const cut = wordsOf(vectors.map((vector) => unit(vector.slice(0, dimensions / 2))))
    const zeroed = vectors.map((vector) => unit(vector.map((value, at) => (at < dimensions / 2 ? value : 0))))
    const long = wordsOf(vectors.map((vector) => vector.map((value) => value * 2)))
    const byBits = [2, 3, 4, 8].map(
      (bits) => `${bits} bits ${alike(vectors.map((one) => coarser(one, bits))) ? 'agree' : 'differ'}`,
    )
    const f32 = await sharedEncoder()
    const parity =
      f32 === undefined ? 'not at hand' : alike(f32) ? 'agrees: rounding of weights to 8 bits is not seen' : 'differs'
    observe(
      32,
      `half the words: ${vectorFault(cut, shape)}; the other half zero: ${alike(zeroed) ? 'agrees' : 'differs'}; twice as long: ${vectorFault(long, shape)}; words of ${byBits.join(', ')}; the f32 original beside the bundled 8-bit weights: ${parity}`,
    )
    assert.is(vectorFault(words, shape), undefined)
    assert.is(vectorFault(cut, shape), 'vector_shape')
    assert.is(vectorFault(long, shape), 'vector_not_unit')
    assert.not.ok(alike(zeroed))
    assert.not.ok(alike(vectors.map((vector) => coarser(vector, 2))))
  })())

/** The encoder whose weights the bundled one's were rounded from. */
async function sharedEncoder(): Promise<readonly Float32Array[] | undefined> {
  const shared = await sharedLoad('use-lite-en-f32.onnx')
  if (shared === undefined) return undefined
  const { path, digest } = shared
  const { backend } = createHost()
  await backend.load({ ...USE_LOAD, path, digest })
  return (await backend.embed(TEXTS, NEVER)).vectors
}

test("row 33: a peer's vector with noise opens no commitment that was made before it was shown", ({ vectors }) => {
  const random = seededRandom(33)
  const noisy = vectors.map((vector) => unit(vector.map((value) => value + (random.below(1_000) - 500) / 1e7)))
  const [jobId, peer, thief] = [jobNamed('job'), keyNamed('w0').peer, keyNamed('w1').peer]
  const salt = new Uint8Array(32).fill(3)
  const commit = (replica: number, worker: typeof peer, words: Uint32Array) =>
    outputCommit(jobId, replica, worker, tokensRoot(words), textDigest(''), salt)
  const blind = commit(1, thief, wordsOf(vectors.map((vector) => coarser(vector, 2))))
  const opens = commit(1, thief, wordsOf(noisy)) === blind
  const bound = Buffer.from(commit(0, peer, wordsOf(vectors)), 'hex')
  const shape = { count: TEXTS.length, dimensions: vectors[0]?.length ?? 0 }
  observe(
    33,
    `noise of 5e-5 keeps the meaning (${isSameMeaning(wordsOf(vectors), wordsOf(noisy), shape)}), so copying would pay after a reveal; before it a peer shows ${bound.length} bytes of a hash, and what is copied afterwards ${opens ? 'opens' : 'does not open'} the copier's own`,
  )
  assert.not.ok(opens)
  assert.is(bound.length, domainHash('output').length)
})

test.run()
