/**
 * The latency chain: a worker signs the header of every chunk it streams, the receiver countersigns each with a fresh nonce that a
 * later chunk must echo.
 *
 * Why so: it proves the order, that nothing was dropped or replaced, that no chunk was signed before the nonce it echoes existed,
 * and so an upper bound on the receiver's clock. It proves no lower bound, and nothing against a worker and receiver that collude.
 *
 * @see docs/PROTOCOL.md#latency-chain
 */
import { domainHash } from '#core/hash'
import { equalBytes, idsToBytes, u32be } from '../codec/bytes.ts'
import { type BodyOf, bytes, defineBody, digest, u8, u32, u64 } from '../codec/schema.ts'
import type { Opened, Unverified } from '../identity/envelope.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { accept, reject, type Validation } from '../validation.ts'

export const NONCE_BYTES = 16

/** Header of one chunk, sealed by the worker as `chunk`. The tokens travel beside it. */
export const chunkCodec = defineBody(
  'chunk',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    /** 0-based, without gaps. */
    index: u32(),
    tokenStart: u32(),
    /** 1 to 64. */
    tokenCount: u8(),
    /** `chunkLeaf` of the tokens. */
    tokensLeaf: digest(),
    /** Hash of the chunk before; of the chain's start for the first. */
    previous: digest(),
    /** Newest nonce that the worker has had from the receiver. */
    echoedNonce: bytes(NONCE_BYTES),
    /** The worker's own monotonic clock: a drift check, never a basis of payment. */
    monoNs: u64(),
  },
  256,
)
export type Chunk = BodyOf<typeof chunkCodec>

/** The receiver's answer to one chunk, sealed as `ack`. */
export const ackCodec = defineBody(
  'ack',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    index: u32(),
    chunkHash: digest(),
    /** The receiver's monotonic clock, since it asked for the work. */
    receivedNs: u64(),
    nextNonce: bytes(NONCE_BYTES),
    /** Hash of the ack before; of the chain's start for the first. */
    previousAck: digest(),
  },
  256,
)
export type Ack = BodyOf<typeof ackCodec>

/** Whose chain it is; all of it is known before the first chunk. */
export type ChainStart = {
  readonly swarmId: SwarmId
  readonly jobId: Digest
  readonly attempt: number
  readonly replica: number
  readonly worker: PeerId
  readonly receiver: PeerId
  /** 16 fresh bytes of the receiver, sent with the order to work. */
  readonly nonce: Uint8Array
}

export type ChainState = {
  readonly start: ChainStart
  /** Hash of the last chunk: what the commitment names. */
  readonly head: Digest
  readonly chunkCount: number
  readonly tokenCount: number
  readonly monoNs: bigint
  readonly ackHead: Digest
  readonly ackCount: number
  /** Receipt time of the last acknowledged chunk. */
  readonly receivedNs: bigint
  /** Nonces that the next chunk may echo; place p is nonce `ackCount - (length - 1) + p`. */
  readonly nonces: readonly Uint8Array[]
  /** Hashes of the chunks that wait for their ack, oldest first: at most the window and one. */
  readonly waiting: readonly Digest[]
}

type Sealed<T> = Pick<Opened<T>, 'value' | 'signer' | 'body'>

/** Hashes the start of a chain, so that no chunk of it fits another job, attempt, worker or run. */
export function chainStart({ swarmId, jobId, attempt, replica, worker, receiver, nonce }: ChainStart): Digest {
  const place = [u32be(attempt), Uint8Array.of(replica)]
  return digestOf(
    domainHash('chain', digestBytes(swarmId), digestBytes(jobId), ...place, keyOf(worker), keyOf(receiver), nonce),
  )
}

export function openChain(start: ChainStart): ChainState {
  const head = chainStart(start)
  const nothing = { chunkCount: 0, tokenCount: 0, monoNs: 0n, ackCount: 0, receivedNs: 0n, waiting: [] }
  return { start, head, ackHead: head, nonces: [start.nonce], ...nothing }
}

/**
 * Binds a chunk's tokens. The nonce of the order is the salt: worker and receiver know it, a witness cannot guess tokens without it.
 */
export function chunkLeaf({ nonce }: ChainStart, index: number, ids: Uint32Array | readonly number[]): Digest {
  return digestOf(domainHash('chunk-tokens', nonce, u32be(index), idsToBytes(ids)))
}

/** Hash of a chunk: over exactly what its worker signed. */
export function chunkHash(swarmId: SwarmId, chunkBody: Uint8Array): Digest {
  return chunkCodec.digest(swarmId, chunkBody)
}

export function ackHash(swarmId: SwarmId, ackBody: Uint8Array): Digest {
  return ackCodec.digest(swarmId, ackBody)
}

/**
 * Makes the worker's next chunk header, echoing the newest nonce.
 *
 * @param ids  1 to 64 token ids that follow the last chunk's; call it only while `mustWait` says no
 */
export function nextChunk(state: ChainState, ids: readonly number[], monoNs: bigint): Chunk {
  const { start, chunkCount, tokenCount, head, nonces } = state
  invariant(!mustWait(state), 'a worker waits for acks before it runs out of fresh nonces')
  const { jobId, attempt, replica } = start
  const place = { jobId, attempt, replica, index: chunkCount, tokenStart: tokenCount, tokenCount: ids.length }
  const echoedNonce = nonces.at(-1) ?? start.nonce
  return { ...place, tokensLeaf: chunkLeaf(start, chunkCount, ids), previous: head, echoedNonce, monoNs }
}

/** Makes the receiver's ack of the oldest chunk that waits for one; call it after `extendChain` accepted that chunk. */
export function nextAck(state: ChainState, receivedNs: bigint, nextNonce: Uint8Array): Ack {
  const { start, ackCount, ackHead, waiting } = state
  const [chunk] = waiting
  invariant(chunk !== undefined, 'a chunk waits for its ack')
  const { jobId, attempt, replica } = start
  return { jobId, attempt, replica, index: ackCount, chunkHash: chunk, receivedNs, nextNonce, previousAck: ackHead }
}

/** Says whether the chunk may follow. */
export function extendChain(state: ChainState, chunk: Sealed<Chunk>): Validation<ChainState> {
  const { start, head } = state
  const { value } = chunk
  if (chunk.signer !== start.worker) return reject('signer_mismatch')
  if (!isOfChain(value, start)) return reject('chunk_mismatch')
  if (value.index !== state.chunkCount || value.tokenStart !== state.tokenCount) return reject('chunk_out_of_order')
  if (value.previous !== head) return reject('chunk_out_of_order', 'chunk.previous')
  if (value.tokenCount < 1 || value.tokenCount > LIMITS.chunkTokensMax)
    return reject('chunk_mismatch', 'chunk.tokenCount')
  if (value.monoNs < state.monoNs) return reject('chunk_mismatch', 'chunk.monoNs')
  if (!freshNonces(state).some((nonce) => equalBytes(nonce, value.echoedNonce)))
    return reject('chunk_mismatch', 'chunk.echoedNonce')
  const hash = chunkHash(start.swarmId, chunk.body)
  return accept({
    ...state,
    head: hash,
    chunkCount: state.chunkCount + 1,
    tokenCount: state.tokenCount + value.tokenCount,
    monoNs: value.monoNs,
    waiting: [...state.waiting, hash],
  })
}

/**
 * Lists the nonces that the next chunk may echo: those of the last `nonceWindowChunks` chunks before it.
 *
 * Nonce j comes with the ack of chunk j - 1, nonce 0 with the order to work; chunk i may echo nonce j when i - j is within the window.
 */
function freshNonces({ nonces, ackCount, chunkCount }: ChainState): readonly Uint8Array[] {
  const oldest = chunkCount - LIMITS.nonceWindowChunks
  return nonces.filter((_, place) => ackCount - (nonces.length - 1) + place >= oldest)
}

/** Says whether the worker must wait for an ack before its next chunk would be accepted. */
export function mustWait(state: ChainState): boolean {
  return freshNonces(state).length === 0
}

/** Says whether the ack may follow: it answers the oldest chunk that waits for one. */
export function acknowledge(state: ChainState, ack: Sealed<Ack>): Validation<ChainState> {
  const { start, waiting } = state
  const { value } = ack
  if (ack.signer !== start.receiver) return reject('signer_mismatch')
  if (!isOfChain(value, start)) return reject('chunk_mismatch')
  if (value.index !== state.ackCount || value.previousAck !== state.ackHead) return reject('chunk_out_of_order')
  if (waiting[0] === undefined) return reject('chunk_out_of_order', 'ack.index')
  if (value.chunkHash !== waiting[0]) return reject('chunk_mismatch', 'ack.chunkHash')
  if (value.receivedNs < state.receivedNs) return reject('chunk_mismatch', 'ack.receivedNs')
  return accept({
    ...state,
    ackHead: ackHash(start.swarmId, ack.body),
    ackCount: state.ackCount + 1,
    receivedNs: value.receivedNs,
    nonces: [...state.nonces, value.nextNonce].slice(-(LIMITS.nonceWindowChunks + 1)),
    waiting: waiting.slice(1),
  })
}

/**
 * Takes an ack as the worker does, which keeps none of them: it looks at the signature of every fourth.
 *
 * Why that is enough: an ack names the one before by its hash, so a signature speaks for all that it follows; and a receiver that signs
 * nothing gains what one gains that sends nothing, a worker that is ahead by no more than the window.
 */
export function acknowledgeUnverified(state: ChainState, ack: Unverified<Ack>): Validation<ChainState> {
  const next = acknowledge(state, ack)
  const isDue = (state.ackCount + 1) % LIMITS.nonceWindowChunks === 0
  return next.action === 'accept' && isDue && !ack.isSigned() ? reject('signature_invalid') : next
}

function isOfChain(body: Chunk | Ack, start: ChainStart): boolean {
  return body.jobId === start.jobId && body.attempt === start.attempt && body.replica === start.replica
}
