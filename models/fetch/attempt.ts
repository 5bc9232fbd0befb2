/** One attempt to load the rest of a model file over HTTP: what may be asked, what the answer means. RFC 9110, sections 13 and 14. */
import { FabricError } from '../../core/errors.ts'
import type { PartFile } from './part.ts'
import type { WebSource } from './source.ts'
import type { Answer, Web } from './web.ts'

/** What the source owes: from the catalogue, from `--sha256`. */
export type Wanted = { readonly digest?: string; readonly bytes?: number }
/** Why an attempt ended before the file did; another one may go on. */
export type Broken = {
  readonly reason:
    | 'cut'
    | 'too_long'
    | 'length_contradicts'
    | 'range_contradicts'
    | 'changed'
    | 'encoded'
    | 'busy'
    | 'server_error'
    | 'stalled'
    | 'connection_lost'
  readonly retryAfterMs?: number
}
export type Ended = 'whole' | Broken

/** Larger than any model in one file. */
const FILE_BYTES_MAX = 2 ** 40
/** Room that a file of unknown length must find, and finds again before it takes more. */
const UNKNOWN_BYTES = 67_108_864
const RETRY_AFTER_SECONDS = /^[0-9]{1,6}$/

export type AttemptPorts = {
  readonly web: Web
  /** Called after each piece with its size. */
  readonly onBytes: (count: number) => void
  /** Called before the first byte of a body, and now and then within one that does not say its length. @throws CF_MODEL_DISK_FULL */
  readonly ensureRoom: (bytesLeft: number) => Promise<void>
}

/**
 * Asks for what is missing and appends it.
 *
 * @throws FabricError for what no other attempt would mend; whatever the network throws
 */
export async function attempt(
  source: WebSource,
  part: PartFile,
  wanted: Wanted,
  ports: AttemptPorts,
  signal: AbortSignal,
): Promise<Ended> {
  const headers = await rangeHeaders(part, wanted)
  const answer = await ports.web.get(source, headers, signal)
  try {
    checkStated(answer, wanted)
    const refused = await accept(answer, part, wanted, 'range' in headers)
    if (refused !== undefined) return refused
    await ports.ensureRoom((part.facts.bytes ?? part.bytes + UNKNOWN_BYTES) - part.bytes)
    return await receive(answer, part, ports)
  } finally {
    await answer.discard().catch(() => undefined)
  }
}

/** A part is only gone on with when a later byte of another file would be noticed: by the entity tag or by the digest. */
async function rangeHeaders(part: PartFile, wanted: Wanted): Promise<Readonly<Record<string, string>>> {
  // A compressed file would have other bytes and another length.
  const plain = { 'accept-encoding': 'identity' }
  const { etag, digest, bytes } = part.facts
  const isSafe = etag !== undefined || digest !== undefined || wanted.digest !== undefined
  if (part.bytes > 0 && (!isSafe || part.bytes > (bytes ?? Number.POSITIVE_INFINITY))) await part.restart({})
  if (part.bytes === 0) return plain
  return { ...plain, range: `bytes=${part.bytes}-`, ...(etag === undefined ? {} : { 'if-range': etag }) }
}

/** @throws CF_MODEL_DIGEST_MISMATCH before a byte is loaded in vain */
function checkStated({ stated }: Answer, wanted: Wanted): void {
  if (wanted.digest === undefined || stated.digest === undefined || wanted.digest === stated.digest) return
  throw new FabricError('CF_MODEL_DIGEST_MISMATCH', { wanted: wanted.digest, stated: stated.digest })
}

/** Decides what the answer is to the part. @returns undefined when its body follows */
async function accept(answer: Answer, part: PartFile, wanted: Wanted, isRange: boolean): Promise<Ended | undefined> {
  if (answer.status === 200) return acceptWhole(answer, part, wanted)
  if (answer.status === 206 && isRange) return acceptRest(answer, part, wanted)
  if (answer.status === 416 && isRange) {
    const total = /^bytes \*\/([0-9]{1,15})$/.exec(answer.header('content-range') ?? '')?.[1]
    // Where the length is known, a whole part asks for nothing any more.
    if (Number(total) === part.bytes && part.facts.bytes === undefined) return 'whole'
    await part.restart({})
    return { reason: 'range_contradicts' }
  }
  return refusal(answer)
}

/** Also the answer to a range when the file has changed or the server knows no ranges: then the part begins again. */
async function acceptWhole(answer: Answer, part: PartFile, wanted: Wanted): Promise<Ended | undefined> {
  const length = wholeNumber(answer.header('content-length'))
  const known = wanted.bytes ?? answer.stated.bytes ?? length
  const facts = { ...factsOf(answer, wanted), ...(known === undefined ? {} : { bytes: known }) }
  await part.restart(facts)
  if (isEncoded(answer)) return { reason: 'encoded' }
  if (length !== undefined && length !== known) return { reason: 'length_contradicts' }
  // A connection that just closes looks like the end of the file: only a digest, or the last chunk, tells them apart.
  const isFramed = length !== undefined || answer.header('transfer-encoding') !== undefined
  return isFramed || facts.digest !== undefined ? undefined : { reason: 'length_contradicts' }
}

async function acceptRest(answer: Answer, part: PartFile, wanted: Wanted): Promise<Ended | undefined> {
  const [, first, last, total] = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15})$/.exec(
    answer.header('content-range') ?? '',
  ) ?? ['']
  const tag = strongTag(answer)
  const { etag, bytes = Number(total), digest } = part.facts
  const known = wanted.bytes ?? answer.stated.bytes ?? bytes
  const isTrusted = (digest ?? wanted.digest) !== undefined
  const isSame =
    (tag === etag || (isTrusted && (tag === undefined || etag === undefined))) &&
    (digest === undefined || answer.stated.digest === undefined || digest === answer.stated.digest)
  if (!isSame || isEncoded(answer)) {
    await part.restart({})
    return { reason: isSame ? 'encoded' : 'changed' }
  }
  const isRest = Number(first) === part.bytes && Number(last) === Number(total) - 1
  const length = wholeNumber(answer.header('content-length'))
  const isLong = length === undefined || length === Number(last) - Number(first) + 1
  if (!isRest || !isLong || Number(total) !== known || bytes !== known) {
    await part.restart({})
    return { reason: 'range_contradicts' }
  }
  await part.learn({ bytes: known, ...factsOf(answer, wanted) })
  return undefined
}

function factsOf(answer: Answer, wanted: Wanted): { readonly etag?: string; readonly digest?: string } {
  const etag = strongTag(answer)
  const digest = wanted.digest ?? answer.stated.digest
  return { ...(etag === undefined ? {} : { etag }), ...(digest === undefined ? {} : { digest }) }
}

/** @throws FabricError for answers that stay the same however often one asks */
function refusal(answer: Answer): Broken {
  const { status } = answer
  if (status === 401 || status === 403) throw new FabricError('CF_MODEL_SOURCE_DENIED', { status })
  if (status === 404 || status === 410) throw new FabricError('CF_MODEL_SOURCE_MISSING', { status })
  if (status === 429 || status === 503) {
    const after = answer.header('retry-after') ?? ''
    return { reason: 'busy', ...(RETRY_AFTER_SECONDS.test(after) ? { retryAfterMs: Number(after) * 1_000 } : {}) }
  }
  if (status === 408 || status >= 500) return { reason: 'server_error' }
  throw new FabricError('CF_MODEL_PULL_FAILED', { reason: 'answer_unexpected', status })
}

async function receive(answer: Answer, part: PartFile, { onBytes, ensureRoom }: AttemptPorts): Promise<Ended> {
  const limit = part.facts.bytes ?? FILE_BYTES_MAX
  let room = part.facts.bytes ?? part.bytes + UNKNOWN_BYTES
  for await (const chunk of answer.body) {
    if (part.bytes + chunk.length > limit) {
      await part.restart({})
      return { reason: 'too_long' }
    }
    if (part.bytes + chunk.length > room) {
      await ensureRoom(UNKNOWN_BYTES)
      room = part.bytes + UNKNOWN_BYTES
    }
    await part.append(chunk)
    part.checkKind()
    onBytes(chunk.length)
  }
  if (part.facts.bytes === undefined) await part.learn({ bytes: part.bytes })
  return part.bytes === part.facts.bytes ? 'whole' : { reason: 'cut' }
}

function strongTag(answer: Answer): string | undefined {
  const tag = answer.header('etag') ?? ''
  return /^"[\x21\x23-\x7e]{1,256}"$/.test(tag) ? tag : undefined
}

function isEncoded(answer: Answer): boolean {
  return (answer.header('content-encoding') ?? 'identity') !== 'identity'
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined
}
