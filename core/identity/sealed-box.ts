/**
 * Sealed boxes: bytes that one peer alone can read, whoever carries, stores or logs them (HPKE, RFC 9180, to the recipient's identity).
 *
 * Why the same key may sign and decrypt: E. Thormarker, "On using the same key pair for Ed25519 and an X25519 based KEM" (2021), for this KEM.
 */
import { x25519SecretOf } from '#core/x25519'
import { concatBytes, domainHead, utf8 } from '../codec/bytes.ts'
import { digestBytes, type JobId, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal } from './hpke.ts'
import type { KeyPair } from './keys.ts'
import { montgomeryKeyOf } from './montgomery.ts'

/** What a box is for: in any other place it does not open. */
export type BoxContext = {
  readonly swarmId: SwarmId
  /** The message that carries it, such as `job/execute`. */
  readonly kind: string
  readonly jobId: JobId
  readonly from: PeerId
  readonly to: PeerId
}

/** What a box is longer by than what is in it. */
export const BOX_OVERHEAD_BYTES = HPKE_OVERHEAD_BYTES
const EPHEMERAL_BYTES = 32
const NOTHING = new Uint8Array()

/**
 * Seals bytes for `context.to`, an admitted key.
 *
 * It does not say who sealed it: `from` is bound, not proved. Whoever opens it knows the sender by its connection.
 *
 * @param ephemeral  32 bytes from a strong source, for this box alone: with them anybody can open it
 * @returns          the box, and a secret that only the two sides have, for the answer
 * @see docs/PROTOCOL.md#sealed-boxes
 */
export function sealBox(
  context: BoxContext,
  plaintext: Uint8Array,
  ephemeral: Uint8Array,
): { readonly box: Uint8Array; readonly answerSecret: Uint8Array } {
  invariant(ephemeral.length === EPHEMERAL_BYTES, 'an ephemeral secret is 32 bytes')
  const sealed = hpkeSeal(montgomeryKeyOf(context.to), infoOf(context), NOTHING, plaintext, ephemeral)
  invariant(sealed !== undefined, 'an admitted key is not of small order')
  return { box: sealed.bytes, answerSecret: sealed.exporterSecret }
}

/**
 * Opens what was sealed for `key` under this context.
 *
 * @returns reject box_malformed for bytes that are no box, box_unopened for another recipient, sender, swarm, kind or job, or changed bytes
 */
export function openBox(
  key: KeyPair,
  context: Omit<BoxContext, 'to'>,
  box: Uint8Array,
): Validation<{ readonly plaintext: Uint8Array; readonly answerSecret: Uint8Array }> {
  if (box.length < BOX_OVERHEAD_BYTES) return reject('box_malformed')
  const keys = { secret: x25519SecretOf(key.seed), publicKey: montgomeryKeyOf(key.peer) }
  const opened = hpkeOpen(keys, infoOf({ ...context, to: key.peer }), NOTHING, box)
  if (opened === undefined) return reject('box_unopened')
  return accept({ plaintext: opened.plaintext, answerSecret: opened.exporterSecret })
}

/** All parts but the last are of fixed length. */
function infoOf({ swarmId, kind, jobId, from, to }: BoxContext): Uint8Array {
  return concatBytes(
    domainHead('sealed-box'),
    digestBytes(swarmId),
    digestBytes(jobId),
    keyOf(from),
    keyOf(to),
    utf8(kind),
  )
}
