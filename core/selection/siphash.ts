/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits from a 128-bit key, in 32-bit halves because bigint is some fifty times slower.
 * The draw and gumbel-v1 use it where a keyed, fast, well-mixed hash is enough and the key is itself a SHA-256.
 */
import { invariant } from '../invariant.ts'

/** An unsigned 64-bit result; both halves are unsigned 32-bit numbers. */
export type Hash64 = { readonly hi: number; readonly lo: number }

/** v0..v3 as low and high halves in turn. */
export type SipState = Int32Array

const KEY_BYTES = 16
const BLOCK_BYTES = 8

/**
 * Prepares the state that a key gives, so that many messages under one key share the work.
 *
 * @param key  16 bytes
 */
export function sipState(key: Uint8Array): SipState {
  invariant(key.length === KEY_BYTES, 'a SipHash key is 16 bytes')
  const [k0Lo, k0Hi, k1Lo, k1Hi] = [word(key, 0), word(key, 4), word(key, 8), word(key, 12)]
  return Int32Array.of(
    k0Lo ^ 0x70736575,
    k0Hi ^ 0x736f6d65,
    k1Lo ^ 0x6e646f6d,
    k1Hi ^ 0x646f7261,
    k0Lo ^ 0x6e657261,
    k0Hi ^ 0x6c796765,
    k1Lo ^ 0x79746573,
    k1Hi ^ 0x74656462,
  )
}

/** Hashes a message of any length: the reference form. */
export function sipHash24(key: Uint8Array, message: Uint8Array): Hash64 {
  const state = sipState(key)
  const tailStart = message.length - (message.length % BLOCK_BYTES)
  for (let at = 0; at < tailStart; at += BLOCK_BYTES) sipAbsorb(state, word(message, at), word(message, at + 4))
  const tail = new Uint8Array(BLOCK_BYTES)
  tail.set(message.subarray(tailStart))
  tail[BLOCK_BYTES - 1] = message.length & 0xff
  return sipFinish(state, word(tail, 0), word(tail, 4))
}

/** Mixes one whole 8-byte block, given as two little-endian words, into the state. */
export function sipAbsorb(state: SipState, lo: number, hi: number): void {
  state[6] = at(state, 6) ^ lo
  state[7] = at(state, 7) ^ hi
  rounds(state, 2)
  state[0] = at(state, 0) ^ lo
  state[1] = at(state, 1) ^ hi
}

/**
 * Ends a message; the state is spent afterwards.
 *
 * @param lo, hi  the last block: up to seven message bytes, then the message length mod 256 in the top byte
 */
export function sipFinish(state: SipState, lo: number, hi: number): Hash64 {
  sipAbsorb(state, lo, hi)
  state[4] = at(state, 4) ^ 0xff
  rounds(state, 4)
  return {
    lo: (at(state, 0) ^ at(state, 2) ^ at(state, 4) ^ at(state, 6)) >>> 0,
    hi: (at(state, 1) ^ at(state, 3) ^ at(state, 5) ^ at(state, 7)) >>> 0,
  }
}

/** Orders two results as unsigned 64-bit numbers: negative when `a` is the smaller. */
export function compareHash64(a: Hash64, b: Hash64): number {
  return a.hi === b.hi ? a.lo - b.lo : a.hi - b.hi
}

export function word(bytes: Uint8Array, start: number): number {
  return (
    byte(bytes, start) |
    (byte(bytes, start + 1) << 8) |
    (byte(bytes, start + 2) << 16) |
    (byte(bytes, start + 3) << 24) |
    0
  )
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}

function at(state: SipState, index: number): number {
  return state[index] ?? 0
}

/** The names follow the paper's figure 2.1: aL, aH are the halves of v0, b of v1, c of v2, d of v3. */
function rounds(state: SipState, count: number): void {
  let aL = at(state, 0)
  let aH = at(state, 1)
  let bL = at(state, 2)
  let bH = at(state, 3)
  let cL = at(state, 4)
  let cH = at(state, 5)
  let dL = at(state, 6)
  let dH = at(state, 7)
  for (let round = 0; round < count; round++) {
    let sum = (aL >>> 0) + (bL >>> 0)
    aH = (aH + bH + (sum > 0xffffffff ? 1 : 0)) | 0
    aL = sum | 0
    let swap = ((bL << 13) | (bH >>> 19)) ^ aL
    bH = ((bH << 13) | (bL >>> 19)) ^ aH
    bL = swap
    swap = aL
    aL = aH
    aH = swap

    sum = (cL >>> 0) + (dL >>> 0)
    cH = (cH + dH + (sum > 0xffffffff ? 1 : 0)) | 0
    cL = sum | 0
    swap = ((dL << 16) | (dH >>> 16)) ^ cL
    dH = ((dH << 16) | (dL >>> 16)) ^ cH
    dL = swap

    sum = (aL >>> 0) + (dL >>> 0)
    aH = (aH + dH + (sum > 0xffffffff ? 1 : 0)) | 0
    aL = sum | 0
    swap = ((dL << 21) | (dH >>> 11)) ^ aL
    dH = ((dH << 21) | (dL >>> 11)) ^ aH
    dL = swap

    sum = (cL >>> 0) + (bL >>> 0)
    cH = (cH + bH + (sum > 0xffffffff ? 1 : 0)) | 0
    cL = sum | 0
    swap = ((bL << 17) | (bH >>> 15)) ^ cL
    bH = ((bH << 17) | (bL >>> 15)) ^ cH
    bL = swap
    swap = cL
    cL = cH
    cH = swap
  }
  state[0] = aL
  state[1] = aH
  state[2] = bL
  state[3] = bH
  state[4] = cL
  state[5] = cH
  state[6] = dL
  state[7] = dH
}
