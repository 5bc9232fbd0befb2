/** What the native kernels compute, in TypeScript: their measure in tests, and what runs where they do not. */
import { peerIdOf } from '../core/ids.ts'
import { invariant } from '../core/invariant.ts'
import { scoreUnder } from '../core/selection/rendezvous.ts'
import { compareHash64, type Hash64, sipState } from '../core/selection/siphash.ts'

export const PEER_KEY_BYTES = 32

/** Peers side by side, as a kernel reads them. */
export type PackedPeers = {
  /** 32 bytes a peer. */
  readonly keys: Uint8Array
  /** One a peer, 0 to 255; a peer of weight 0 scores 0. */
  readonly weights: Uint8Array
}

/** The best peers by their place in the input, best first, and their scores. */
export type Top = { readonly indexes: Uint32Array; readonly scores: BigUint64Array }

/**
 * Finds the best `count` peers of a draw; ties go to the lower PeerId, then to the lower place.
 *
 * @param drawKey  16 bytes, from `rendezvousKey`
 * @param count    fewer come back when there are fewer peers
 */
export type RendezvousTop = (drawKey: Uint8Array, peers: PackedPeers, count: number) => Top

type Scored = { readonly index: number; readonly score: Hash64 }

export const referenceTop: RendezvousTop = (drawKey, { keys, weights }, count) => {
  invariant(keys.length === weights.length * PEER_KEY_BYTES, 'a peer has a key and a weight')
  const state = sipState(drawKey)
  const keyAt = (index: number) => keys.subarray(index * PEER_KEY_BYTES, (index + 1) * PEER_KEY_BYTES)
  const order = (a: Scored, b: Scored) =>
    compareHash64(b.score, a.score) ||
    compareTexts(peerIdOf(keyAt(a.index)), peerIdOf(keyAt(b.index))) ||
    a.index - b.index
  const scored = Array.from(weights, (weight, index) => ({ index, score: scoreUnder(state, keyAt(index), weight) }))
  const best = scored.sort(order).slice(0, count)
  return {
    indexes: Uint32Array.from(best, ({ index }) => index),
    scores: BigUint64Array.from(best, ({ score }) => (BigInt(score.hi) << 32n) | BigInt(score.lo)),
  }
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
