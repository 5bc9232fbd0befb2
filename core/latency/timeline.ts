/**
 * What a witness saw of a stream: a validator that gets copies of a worker's chunk headers, reads no token, and signs once, at the end,
 * when they came by its own clock.
 *
 * Why its clock begins with the hold in its own copy of the log: neither worker nor edge can move that moment for it. Whatever they do
 * after, they can only look slower.
 *
 * @see docs/LATENCY.md
 */
import { domainHash } from '#core/hash'
import { compareBytes, u32be } from '../codec/bytes.ts'
import { type BodyOf, defineBody, digest, u8, u32 } from '../codec/schema.ts'
import type { Opened } from '../identity/envelope.ts'
import { type Digest, digestBytes, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { type Chunk, chunkHash } from './chain.ts'
import { type ChunkArrival, type LatencySummary, medianOf, summarise } from './summary.ts'

/** Of three one may lie without moving the median beyond what the two others saw. */
export const WITNESSES_MAX = 3

/** Sealed by the witness as `timeline`. */
export const timelineCodec = defineBody(
  'timeline',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    chunkCount: u32(),
    /** Head of the chain as it saw it: of a whole stream, what the worker committed to. */
    chainHead: digest(),
    /** From the job's hold, on the witness's clock, to the first chunk. */
    ttftMs: u32(),
    tokens: u32(),
    /** Tokens over the time from the hold to the last chunk, in thousandths. */
    tokensPerSecondMilli: u32(),
    gapP50Ms: u32(),
    gapP99Ms: u32(),
  },
  256,
)
export type Timeline = BodyOf<typeof timelineCodec>

export type WitnessInput = {
  readonly validators: readonly PeerId[]
  /** Of the log entry that holds the job's money: nobody who has a part in the stream could choose it. */
  readonly holdHash: Digest
  readonly attempt: number
  readonly replica: number
  /** Whoever has a part in the stream, or an owner who has. */
  readonly isInvolved: (validator: PeerId) => boolean
}

/**
 * Draws who witnesses one replica's stream.
 *
 * @returns at most WITNESSES_MAX, best first; fewer where too few validators have no part in it
 */
export function witnessesOf({ validators, holdHash, attempt, replica, isInvolved }: WitnessInput): readonly PeerId[] {
  const about = [digestBytes(holdHash), u32be(attempt), Uint8Array.of(replica)]
  return validators
    .filter((validator) => !isInvolved(validator))
    .map((validator) => ({ validator, score: domainHash('witness', ...about, keyOf(validator)) }))
    .sort((a, b) => compareBytes(a.score, b.score))
    .slice(0, WITNESSES_MAX)
    .map(({ validator }) => validator)
}

/** What a witness keeps of a stream: bounded by the tokens that the job may have. */
export type Sighting = {
  readonly swarmId: SwarmId
  readonly jobId: Digest
  readonly attempt: number
  readonly replica: number
  readonly worker: PeerId
  readonly tokensMax: number
  readonly head: Digest | undefined
  readonly monoNs: bigint
  readonly tokens: number
  readonly arrivals: readonly ChunkArrival[]
}

export function openSighting(
  parts: Pick<Sighting, 'swarmId' | 'jobId' | 'attempt' | 'replica' | 'worker' | 'tokensMax'>,
): Sighting {
  return { ...parts, head: undefined, monoNs: 0n, tokens: 0, arrivals: [] }
}

/**
 * Notes the next chunk of a stream.
 *
 * Why the first one's `previous` is not looked at: it holds the receiver's nonce, which salts the tokens, and a witness has no business
 * guessing those. That the whole chain is the committed one shows at its end.
 *
 * @param receivedNs  on the witness's clock, since its log has the hold
 */
export function sight(
  seen: Sighting,
  chunk: Pick<Opened<Chunk>, 'value' | 'signer' | 'body'>,
  receivedNs: bigint,
): Validation<Sighting> {
  const { value, signer, body } = chunk
  if (signer !== seen.worker) return reject('signer_mismatch')
  const placed = value.jobId === seen.jobId && value.attempt === seen.attempt && value.replica === seen.replica
  if (!placed) return reject('chunk_mismatch')
  if (value.index !== seen.arrivals.length || value.tokenStart !== seen.tokens) return reject('chunk_out_of_order')
  if (seen.head !== undefined && value.previous !== seen.head) return reject('chunk_out_of_order', 'chunk.previous')
  const isFilled = value.tokenCount >= 1 && value.tokenCount <= LIMITS.chunkTokensMax
  if (!isFilled || seen.tokens + value.tokenCount > seen.tokensMax) return reject('chunk_mismatch', 'chunk.tokenCount')
  if (value.monoNs < seen.monoNs) return reject('chunk_mismatch', 'chunk.monoNs')
  return accept({
    ...seen,
    head: chunkHash(seen.swarmId, body),
    monoNs: value.monoNs,
    tokens: seen.tokens + value.tokenCount,
    arrivals: [...seen.arrivals, { tokenCount: value.tokenCount, receivedNs }],
  })
}

/** @returns undefined when nothing was seen */
export function timelineOf({ jobId, attempt, replica, head, arrivals }: Sighting): Timeline | undefined {
  if (head === undefined) return undefined
  return { jobId, attempt, replica, chunkCount: arrivals.length, chainHead: head, ...summarise(arrivals) }
}

/** What a receipt says of the speed, and on whose word. */
export type Latency = LatencySummary & { readonly witnesses: number; readonly isWitnessed: boolean }

/**
 * Puts an edge's own figures and its witnesses' together.
 *
 * Why not fewer than three: of two, one that lies with the worker would be half of the truth.
 *
 * @param own  by the edge's clock, from its order to work
 */
export function latencyOf(own: LatencySummary, timelines: readonly Timeline[]): Latency {
  const isWitnessed = timelines.length >= WITNESSES_MAX
  const summary = isWitnessed ? (medianOf(timelines) ?? own) : own
  return { ...summary, witnesses: timelines.length, isWitnessed }
}

/** Checks a timeline against the stream that a receipt is about. @param chainHead  that the worker committed to */
export function checkTimeline(
  timeline: Pick<Opened<Timeline>, 'value' | 'signer'>,
  about: { readonly jobId: Digest; readonly attempt: number; readonly replica: number; readonly chainHead: Digest },
  witnesses: readonly PeerId[],
): Validation<Timeline> {
  const { value, signer } = timeline
  if (!witnesses.includes(signer)) return reject('signer_mismatch')
  const placed = value.jobId === about.jobId && value.attempt === about.attempt && value.replica === about.replica
  return placed && value.chainHead === about.chainHead ? accept(value) : reject('chunk_mismatch')
}
