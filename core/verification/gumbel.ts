/**
 * gumbel-v1: sampling that anyone who has the model and the seed can check, position by position.
 *
 * Why so: with a seeded generator that advances by one draw a token, one flipped token shifts all that follow. Here the noise of
 * a (position, token) pair is a hash, so every position stands alone and honest numeric differences change few tokens.
 *
 * @see docs/PROTOCOL.md#gumbel-v1; the Gumbel-max trick: Gumbel 1954, Maddison et al. 2014
 */
import { sha256 } from '#core/hash'
import { u32be, utf8 } from '../codec/bytes.ts'
import { digestBytes, type JobId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { type SipState, sipFinish, sipState } from '../selection/siphash.ts'

const POSITION_DOMAIN = utf8('cfab/gumbel/v1')
const SEED_DOMAIN = utf8('cfab/seed/v1')
const SIP_KEY_BYTES = 16
/** SipHash pads a message with its length in the top byte of the last block: four bytes here. */
const FOUR_BYTES_PAD = 4 << 24
const TWO_POW_20 = 2 ** 20
const TWO_POW_52 = 2 ** 52

/**
 * Derives the seed of a job's sampling.
 *
 * @param seedNonce  32 bytes that the client drew; they travel with the payload, so nobody can compute tokens before it
 */
export function jobSeed(jobId: JobId, seedNonce: Uint8Array): Uint8Array {
  return sha256(SEED_DOMAIN, digestBytes(jobId), seedNonce)
}

/**
 * Hashes one output position; the first 16 bytes are the key of that position's noise.
 *
 * @param t  0-based output position
 */
export function positionHash(seed: Uint8Array, t: number): Uint8Array {
  return sha256(POSITION_DOMAIN, seed, u32be(t))
}

/** Gives the Gumbel(0, 1) noise of one token at the position that `h` hashes. */
export function gumbelNoise(h: Uint8Array, tokenId: number): number {
  return noiseUnder(sipState(h.subarray(0, SIP_KEY_BYTES)), tokenId)
}

function noiseUnder(spent: SipState, tokenId: number): number {
  const r = sipFinish(spent, tokenId | 0, FOUR_BYTES_PAD)
  // r >> 12 has 52 bits and the half needs one more: every step up to the logarithms is exact in a double.
  const u = (r.hi * TWO_POW_20 + (r.lo >>> 12) + 0.5) / TWO_POW_52
  return -Math.log(-Math.log(u))
}

/**
 * Scores candidates: logit + T * noise, the quantity whose maximum gumbel-v1 picks.
 *
 * @param temperature  temperatureMilli / 1000; at 0 the noise is not computed
 * @returns            a function from (id, logit) to nats
 */
export function positionScorer(
  seed: Uint8Array,
  t: number,
  temperature: number,
): (id: number, logit: number) => number {
  if (temperature === 0) return (_id, logit) => logit
  const fresh = sipState(positionHash(seed, t).subarray(0, SIP_KEY_BYTES))
  const scratch: SipState = new Int32Array(fresh.length)
  return (id, logit) => {
    scratch.set(fresh)
    return logit + temperature * noiseUnder(scratch, id)
  }
}

/**
 * Picks the token of position `t`: among the top-k ids by logit, the one with the highest score. Ties go to the lower id, both at
 * the edge of the top-k and at the top. A logit that is not a number is never picked.
 *
 * @param topIds, topLogits  candidates in any order, at least as many as topK or the whole vocabulary
 * @param temperature        temperatureMilli / 1000
 */
export function chooseToken(
  topIds: ArrayLike<number>,
  topLogits: ArrayLike<number>,
  topK: number,
  temperature: number,
  seed: Uint8Array,
  t: number,
): number {
  const score = positionScorer(seed, t, temperature)
  let best = -1
  let bestScore = Number.NEGATIVE_INFINITY
  for (const place of topPlaces(topIds, topLogits, topK)) {
    const id = idAt(topIds, place)
    const value = score(id, logitAt(topLogits, place))
    if (best < 0 || value > bestScore || (value === bestScore && id < best)) [best, bestScore] = [id, value]
  }
  invariant(best >= 0, 'a position has at least one candidate')
  return best
}

/** Lists the places of the `topK` highest logits, best first, ties by lower id. */
export function topPlaces(ids: ArrayLike<number>, logits: ArrayLike<number>, topK: number): number[] {
  const places: number[] = []
  for (let place = 0; place < ids.length; place++) if (!Number.isNaN(logitAt(logits, place))) places.push(place)
  places.sort((a, b) => {
    const [x, y] = [logitAt(logits, a), logitAt(logits, b)]
    return x === y ? idAt(ids, a) - idAt(ids, b) : x > y ? -1 : 1
  })
  return places.slice(0, topK)
}

function idAt(ids: ArrayLike<number>, place: number): number {
  return ids[place] ?? -1
}

function logitAt(logits: ArrayLike<number>, place: number): number {
  return logits[place] ?? Number.NaN
}
