/**
 * What a checkable answer costs beside its tokens, worker and receiver together: the chain of signed chunks and acknowledgements, and
 * the commitment at the end.
 */
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../core/identity/keys.ts'
import { parseDigest, parseSwarmId } from '../../core/ids.ts'
import {
  ackCodec,
  acknowledge,
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

export class Proof {
  readonly #jobId = present(parseDigest(ZEROS))
  readonly #swarmId = present(parseSwarmId(ZEROS))
  readonly #ids: number[] = []
  #chunked = 0
  #chain: ChainState

  constructor() {
    const [swarmId, jobId] = [this.#swarmId, this.#jobId]
    const peers = { worker: WORKER.peer, receiver: RECEIVER.peer }
    this.#chain = openChain({ swarmId, jobId, attempt: 0, replica: 0, ...peers, nonce: NONCE })
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
    const swarmId = this.#swarmId
    const nowNs = process.hrtime.bigint()
    const ids = this.#ids.slice(this.#chunked, this.#chunked + tokenCount)
    const sent = sealAs(chunkCodec, nextChunk(this.#chain, ids, nowNs), swarmId, WORKER)
    const chunk = taken(openAs(chunkCodec, sent, swarmId))
    if (chunkLeaf(this.#chain.start, chunk.value.index, ids) !== chunk.value.tokensLeaf) throw new Error('another leaf')
    const longer = taken(extendChain(this.#chain, chunk))
    const answer = sealAs(ackCodec, nextAck(longer, nowNs, NONCE), swarmId, RECEIVER)
    this.#chain = taken(acknowledge(longer, taken(openAs(ackCodec, answer, swarmId))))
    this.#chunked += tokenCount
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
