/**
 * Answers to what came in a sealed box: frames that only the two sides of the box can read, in their order (RFC 9458, 4.4, with the nonces
 * of RFC 9180, 5.2 for more than one).
 */
import { aeadOpen, aeadSeal, hmacSha256 } from '#core/x25519'
import { concatBytes, u64be, utf8 } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { hpkeExport } from './hpke.ts'

const [KEY_BYTES, NONCE_BYTES, SALT_BYTES] = [32, 12, 32]
const EXPORT_CONTEXT = utf8('cfab/sealed-answers/v1')
const LAST = Uint8Array.of(1)
const NOTHING = new Uint8Array()

type Keys = { readonly key: Uint8Array; readonly nonce: Uint8Array }

export class AnswerSealer {
  readonly #keys: Keys
  /** Of the first frame; empty after it. */
  #head: Uint8Array
  #count = 0n

  /**
   * @param answerSecret  of the box
   * @param salt          32 fresh bytes: a box that is delivered twice is answered under two keys
   */
  constructor(answerSecret: Uint8Array, salt: Uint8Array) {
    invariant(salt.length === SALT_BYTES, 'a salt of answers is 32 bytes')
    this.#keys = keysOf(answerSecret, salt)
    this.#head = salt
  }

  seal(frame: Uint8Array): Uint8Array {
    const { key, nonce } = this.#keys
    const sealed = concatBytes(this.#head, aeadSeal(key, nonceOf(nonce, this.#count), NOTHING, frame))
    this.#head = NOTHING
    this.#count += 1n
    return sealed
  }
}

export class AnswerOpener {
  readonly #answerSecret: Uint8Array
  #keys: Keys | undefined
  #count = 0n

  constructor(answerSecret: Uint8Array) {
    this.#answerSecret = answerSecret
  }

  /** @returns reject box_unopened for a frame of another box, one that was changed, and one that is not the next; then none opens any more */
  open(bytes: Uint8Array): Validation<Uint8Array> {
    const isFirst = this.#keys === undefined
    this.#keys ??= keysOf(this.#answerSecret, bytes.subarray(0, SALT_BYTES))
    const { key, nonce } = this.#keys
    const frame = aeadOpen(key, nonceOf(nonce, this.#count), NOTHING, isFirst ? bytes.subarray(SALT_BYTES) : bytes)
    if (frame === undefined) return reject('box_unopened')
    this.#count += 1n
    return accept(frame)
  }
}

/** HKDF (RFC 5869), each output of one block. */
function keysOf(answerSecret: Uint8Array, salt: Uint8Array): Keys {
  const prk = hmacSha256(salt, hpkeExport(answerSecret, EXPORT_CONTEXT, KEY_BYTES))
  return {
    key: hmacSha256(prk, utf8('key'), LAST),
    nonce: hmacSha256(prk, utf8('nonce'), LAST).slice(0, NONCE_BYTES),
  }
}

/** The base nonce xor the number of the frame, big-endian at its end. */
function nonceOf(base: Uint8Array, count: bigint): Uint8Array {
  const nonce = base.slice()
  for (const [place, byte] of u64be(count).entries()) {
    const at = NONCE_BYTES - 8 + place
    nonce[at] = (nonce[at] ?? 0) ^ byte
  }
  return nonce
}
