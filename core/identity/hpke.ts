/**
 * Hybrid public key encryption, base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. One message a context,
 * and a secret that both sides can export from it for the answer.
 */
import { aeadOpen, aeadSeal, hmacSha256, x25519Receive, x25519Send } from '#core/x25519'
import { concatBytes, u16be, utf8 } from '../codec/bytes.ts'
import { isCanonicalU } from './montgomery.ts'

const [KEY_BYTES, NONCE_BYTES, HASH_BYTES, TAG_BYTES] = [32, 12, 32, 16]
const VERSION = utf8('HPKE-v1')
const KEM_SUITE = concatBytes(utf8('KEM'), u16be(0x0020))
const SUITE = concatBytes(utf8('HPKE'), u16be(0x0020), u16be(0x0001), u16be(0x0003))
const NOTHING = new Uint8Array()
const MODE_BASE = Uint8Array.of(0)

/** What a sealed message is longer by: the encapsulated key and the tag. */
export const HPKE_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES

export type HpkeSealed = {
  /** The encapsulated key (32 bytes), the ciphertext, its tag (16 bytes). */
  readonly bytes: Uint8Array
  readonly exporterSecret: Uint8Array
}
export type HpkeOpened = { readonly plaintext: Uint8Array; readonly exporterSecret: Uint8Array }

/**
 * Seals one message.
 *
 * @param recipient  X25519 public key
 * @param info       what both sides must agree on
 * @param ikm        at least 32 secret bytes that are used once: the ephemeral key is derived from them (RFC 9180, 7.1.3)
 * @returns          undefined for a recipient of small order
 */
export function hpkeSeal(
  recipient: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  ikm: Uint8Array,
): HpkeSealed | undefined {
  const secret = expand(extract(KEM_SUITE, NOTHING, 'dkp_prk', ikm), KEM_SUITE, 'sk', NOTHING, KEY_BYTES)
  const sent = x25519Send(secret, recipient)
  if (sent === undefined) return undefined
  const { publicKey: enc, shared } = sent
  const { key, nonce, exporterSecret } = schedule(shared, enc, recipient, info)
  return { bytes: concatBytes(enc, aeadSeal(key, nonce, aad, plaintext)), exporterSecret }
}

/**
 * Opens one message.
 *
 * @param keys  the recipient's X25519 secret and public key
 * @returns     undefined for anything that was not sealed to this key, under this info and aad
 */
export function hpkeOpen(
  keys: { readonly secret: Uint8Array; readonly publicKey: Uint8Array },
  info: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): HpkeOpened | undefined {
  const [enc, ciphertext] = [sealed.slice(0, KEY_BYTES), sealed.subarray(KEY_BYTES)]
  // One message, one encoding: X25519 itself would take u and u + p for the same.
  if (!isCanonicalU(enc)) return undefined
  const shared = x25519Receive(keys.secret, enc)
  if (shared === undefined) return undefined
  const { key, nonce, exporterSecret } = schedule(shared, enc, keys.publicKey, info)
  const plaintext = aeadOpen(key, nonce, aad, ciphertext)
  return plaintext === undefined ? undefined : { plaintext, exporterSecret }
}

/** @param bytes  at most 32 */
export function hpkeExport(exporterSecret: Uint8Array, context: Uint8Array, bytes: number): Uint8Array {
  return expand(exporterSecret, SUITE, 'sec', context, bytes)
}

/** RFC 9180, 4.1 (ExtractAndExpand) and 5.1 (KeySchedule). */
function schedule(dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array, info: Uint8Array) {
  const prk = extract(KEM_SUITE, NOTHING, 'eae_prk', dh)
  const shared = expand(prk, KEM_SUITE, 'shared_secret', concatBytes(enc, recipient), HASH_BYTES)
  const context = concatBytes(MODE_BASE, NO_PSK_ID, extract(SUITE, NOTHING, 'info_hash', info))
  const secret = extract(SUITE, shared, 'secret', NOTHING)
  return {
    key: expand(secret, SUITE, 'key', context, KEY_BYTES),
    nonce: expand(secret, SUITE, 'base_nonce', context, NONCE_BYTES),
    exporterSecret: expand(secret, SUITE, 'exp', context, HASH_BYTES),
  }
}

/** LabeledExtract. */
function extract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return hmacSha256(salt, VERSION, suite, utf8(label), ikm)
}

/** LabeledExpand, of one block. @param bytes  at most 32 */
function expand(prk: Uint8Array, suite: Uint8Array, label: string, info: Uint8Array, bytes: number): Uint8Array {
  return hmacSha256(prk, u16be(bytes), VERSION, suite, utf8(label), info, Uint8Array.of(1)).slice(0, bytes)
}

const NO_PSK_ID = extract(SUITE, NOTHING, 'psk_id_hash', NOTHING)
