/** Messages that carry words: their bodies travel in a box for their receiver. */
import { type BodyOf, bytesMax, defineBody, digest } from '../codec/schema.ts'
import type { KeyPair } from '../identity/keys.ts'
import { BOX_OVERHEAD_BYTES, openBox, sealBox } from '../identity/sealed-box.ts'
import type { JobId, PeerId, SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { accept, type Validation } from '../validation.ts'

/** Version, two lengths and the job's id. */
const HEAD_BYTES = 48
const BOX_BYTES_MAX = LIMITS.envelopeBytesMax - HEAD_BYTES
/** The longest body that fits: with what seals it, it makes a frame. */
export const SEALED_BODY_BYTES_MAX = BOX_BYTES_MAX - BOX_OVERHEAD_BYTES

/** What goes over the link: the job by which the receiver finds the context, and the body of the message, sealed. */
export const sealedMessageCodec = defineBody(
  'sealed-message',
  { jobId: digest(), box: bytesMax(BOX_BYTES_MAX) },
  LIMITS.envelopeBytesMax,
)
export type SealedMessage = BodyOf<typeof sealedMessageCodec>

export type OpenedMessage = {
  /** By which it was opened: the message inside must be about this job. */
  readonly jobId: JobId
  readonly body: Uint8Array
  readonly answerSecret: Uint8Array
}

type About = { readonly swarmId: SwarmId; readonly kind: string }

/**
 * @param body       at most SEALED_BODY_BYTES_MAX
 * @param ephemeral  as `sealBox`
 */
export function sealMessage(
  about: About & { readonly jobId: JobId; readonly from: PeerId; readonly to: PeerId },
  body: Uint8Array,
  ephemeral: Uint8Array,
): { readonly message: Uint8Array; readonly answerSecret: Uint8Array } {
  const { box, answerSecret } = sealBox(about, body, ephemeral)
  return { message: sealedMessageCodec.encode({ jobId: about.jobId, box }), answerSecret }
}

/** @param from  the peer that the connection is of */
export function openMessage(
  key: KeyPair,
  about: About & { readonly from: PeerId },
  bytes: Uint8Array,
): Validation<OpenedMessage> {
  const decoded = sealedMessageCodec.decode(bytes)
  if (decoded.action !== 'accept') return decoded
  const jobId = decoded.value.jobId as JobId
  const opened = openBox(key, { ...about, jobId }, decoded.value.box)
  if (opened.action !== 'accept') return opened
  const { plaintext: body, answerSecret } = opened.value
  return accept({ jobId, body, answerSecret })
}
