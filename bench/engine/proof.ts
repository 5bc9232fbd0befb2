/**
 * What a checkable answer costs beside its tokens: the chain of signed chunks and acknowledgements, and the commitment at the end. Both
 * sides run here, and what the receiver takes is counted, so that it can be told apart.
 */
import { encodeEnvelope, openAs, readAs, seal, sealAs } from '../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../core/identity/keys.ts'
import { forgetSignatures } from '../../core/identity/signatures.ts'
import { parseDigest, parseSwarmId } from '../../core/ids.ts'
import {
  ackCodec,
  acknowledgeUnverified,
  type ChainState,
  chunkCodec,
  chunkLeaf,
  extendChain,
  nextAck,
  nextChunk,
  openChain,
} from '../../core/latency/chain.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Validation } from '../../core/validation.ts'
import { outputCommit, textDigest, tokensRoot } from '../../core/verification/commitment.ts'

const WORKER = keyPairFromSeed(new Uint8Array(32).fill(1))
const RECEIVER = keyPairFromSeed(new Uint8Array(32).fill(2))
const NONCE = new Uint8Array(16).fill(3)
const ZEROS = '0'.repeat(64)
const SALT = new Uint8Array(32)
const NS_PER_US = 1_000

/** What each side of one chunk has taken, elapsed; whether the worker looked at the signature of its ack. */
export type ChunkCost = { readonly isVerified: boolean; readonly workerUs: number; readonly receiverUs: number }

export class Proof {
  readonly #jobId = present(parseDigest(ZEROS))
  readonly #swarmId = present(parseSwarmId(ZEROS))
  readonly #ids: number[] = []
  #chunked = 0
  #chain: ChainState
  readonly #chunks: ChunkCost[] = []

  constructor() {
    const [swarmId, jobId] = [this.#swarmId, this.#jobId]
    const peers = { worker: WORKER.peer, receiver: RECEIVER.peer }
    this.#chain = openChain({ swarmId, jobId, attempt: 0, replica: 0, ...peers, nonce: NONCE })
  }

  get chunks(): readonly ChunkCost[] {
    return this.#chunks
  }

  tokens(ids: readonly number[]): void {
    this.#ids.push(...ids)
    while (this.#ids.length - this.#chunked >= LIMITS.chunkTokensMax) this.#chunk(LIMITS.chunkTokensMax)
  }

  /** Chunks what is left and binds the whole. */
  end(text: string): string {
    if (this.#ids.length > this.#chunked) this.#chunk(this.#ids.length - this.#chunked)
    return outputCommit(this.#jobId, 0, WORKER.peer, tokensRoot(this.#ids), textDigest(text), SALT)
  }

  #chunk(tokenCount: number): void {
    const nowNs = process.hrtime.bigint()
    const ids = this.#ids.slice(this.#chunked, this.#chunked + tokenCount)
    const value = nextChunk(this.#chain, ids, nowNs)
    const body = chunkCodec.encode(value)
    const longer = taken(extendChain(this.#chain, { value, signer: WORKER.peer, body }))
    const sent = encodeEnvelope(seal(chunkCodec.type, this.#swarmId, body, WORKER))
    const sentNs = process.hrtime.bigint()
    const answer = this.#received(sent, ids, nowNs)
    const answeredNs = process.hrtime.bigint()
    // Who signs is another process than who verifies: neither knows the other's signatures.
    forgetSignatures()
    this.#chain = taken(acknowledgeUnverified(longer, taken(readAs(ackCodec, answer, this.#swarmId))))
    this.#chunked += tokenCount
    const workerNs = sentNs - nowNs + (process.hrtime.bigint() - answeredNs)
    this.#chunks.push({
      isVerified: (value.index + 1) % LIMITS.nonceWindowChunks === 0,
      ...{ workerUs: Number(workerNs) / NS_PER_US, receiverUs: Number(answeredNs - sentNs) / NS_PER_US },
    })
  }

  #received(sent: Uint8Array, ids: readonly number[], nowNs: bigint): Uint8Array {
    forgetSignatures()
    const chunk = taken(openAs(chunkCodec, sent, this.#swarmId))
    if (chunkLeaf(this.#chain.start, chunk.value.index, ids) !== chunk.value.tokensLeaf) throw new Error('another leaf')
    const longer = taken(extendChain(this.#chain, chunk))
    return sealAs(ackCodec, nextAck(longer, nowNs, NONCE), this.#swarmId, RECEIVER)
  }
}

function taken<T>(validation: Validation<T>): T {
  if (validation.action === 'accept') return validation.value
  throw new Error(`refused: ${validation.reason}`)
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('an id does not parse')
  return value
}
