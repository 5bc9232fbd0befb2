/** The coordinator's side of one replica's stream: tokens, chunk chain, acknowledgements, and at last the signed commitment. */
import { idsFromBytes } from '../../core/codec/bytes.ts'
import { FabricError, isErrorCode } from '../../core/errors.ts'
import { encodeEnvelope, openAs, seal } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest } from '../../core/ids.ts'
import { type WorkFrame, workFrameCodec } from '../../core/job/proposal.ts'
import {
  ackCodec,
  acknowledge,
  type ChainStart,
  type ChainState,
  chunkCodec,
  chunkLeaf,
  extendChain,
  nextAck,
  openChain,
} from '../../core/latency/chain.ts'
import { LIMITS } from '../../core/limits.ts'
import { commitmentCodec } from '../../core/verification/commitment.ts'
import type { TokenDetail } from '../../models/backend.ts'
import type { Clock, PeerStream, Random } from '../runtime/ports.ts'
import { parseDetail } from './details.ts'
import { steer } from './frames.ts'
import { taken } from './taken.ts'

export type ReaderPorts = {
  readonly key: KeyPair
  readonly clock: Clock
  readonly random: Random
  /** What the job asked for; a worker that streams more is cut off, before its tokens fill the memory. */
  readonly tokenCountMax: number
  /** False for an embedding job: what its worker commits to comes with the reveal. */
  readonly streams: boolean
  /** The client wants to see how likely tokens were; unasked, nobody keeps it. */
  readonly details: boolean
}

export type TokenPart = {
  readonly ids: readonly number[]
  readonly text: string
  readonly details?: readonly TokenDetail[]
}

export type Arrival = { readonly receivedNs: bigint; readonly tokenCount: number }

export type ReadStream = {
  /** The worker's envelope. */
  readonly commitment: Uint8Array
  readonly finish: 'stop' | 'length' | 'aborted'
  readonly ids: readonly number[]
  readonly text: string
  /** Tokens as they came; times count from the order to work. */
  readonly arrivals: readonly Arrival[]
  readonly chainHead: Digest
  readonly ackHead: Digest
}

/**
 * Reads a replica to its commitment.
 *
 * @param onTokens  called for each batch as it arrives, before its chunk header does
 * @throws FabricError with the worker's code, CF_MESH_REFUSED when a frame does not fit the chain or there are too many tokens, CF_MESH_STREAM_BROKEN at an early end
 */
export async function readReplica(
  stream: PeerStream,
  start: ChainStart,
  ports: ReaderPorts,
  onTokens: (part: TokenPart) => void,
): Promise<ReadStream> {
  const { clock } = ports
  const orderedNs = clock.monotonicNs()
  const ids: number[] = []
  const arrivals: Arrival[] = []
  let text = ''
  let chain = openChain(start)
  for await (const bytes of stream) {
    const work = taken(workFrameCodec.decode(bytes))
    const receivedNs = clock.monotonicNs() - orderedNs
    switch (work.kind) {
      case 'tokens': {
        const batch = [...(idsFromBytes(work.ids) ?? [])]
        if (ids.length + batch.length > ports.tokenCountMax)
          throw new FabricError('CF_MESH_REFUSED', { reason: 'too_many_tokens' })
        text += work.text
        // More than any reveal can hold; a frame needs no token to bring text.
        if (text.length > LIMITS.outputTextBytesMax)
          throw new FabricError('CF_MESH_REFUSED', { reason: 'text_too_long' })
        ids.push(...batch)
        if (batch.length > 0) arrivals.push({ receivedNs, tokenCount: batch.length })
        onTokens({ ids: batch, text: work.text, ...(ports.details ? detailsOf(work, batch) : {}) })
        break
      }
      case 'chunk': {
        const answered = answerChunk(work.envelope, ids, chain, receivedNs, ports)
        chain = answered.chain
        await stream.send(steer({ kind: 'ack', envelope: answered.envelope }))
        break
      }
      case 'commitment':
        return {
          ...committed(work.envelope, ids, chain, ports),
          ids,
          text,
          arrivals,
          chainHead: chain.head,
          ackHead: chain.ackHead,
        }
      case 'failed':
        throw new FabricError(isErrorCode(work.text) ? work.text : 'CF_MESH_REFUSED', { replica: start.replica })
    }
  }
  throw new FabricError('CF_MESH_STREAM_BROKEN', { replica: start.replica })
}

/** Checks a chunk header against the chain and the tokens that came, and countersigns it with a fresh nonce. */
function answerChunk(
  envelope: Uint8Array,
  ids: readonly number[],
  before: ChainState,
  receivedNs: bigint,
  { key, random }: ReaderPorts,
) {
  const { start } = before
  const opened = taken(openAs(chunkCodec, envelope, start.swarmId))
  const { index, tokenStart, tokenCount, tokensLeaf } = opened.value
  if (chunkLeaf(start, index, ids.slice(tokenStart, tokenStart + tokenCount)) !== tokensLeaf)
    throw new FabricError('CF_MESH_REFUSED', { reason: 'chunk_mismatch' })
  const chain = taken(extendChain(before, opened))
  const value = nextAck(chain, receivedNs, random.bytes(16))
  const body = ackCodec.encode(value)
  const sealed = encodeEnvelope(seal('ack', start.swarmId, body, key))
  return { chain: taken(acknowledge(chain, { value, signer: key.peer, body })), envelope: sealed }
}

/** A repeated answer comes without likelihoods; else there is one for each token, in order. */
function detailsOf({ details: wire }: WorkFrame, ids: readonly number[]): Pick<TokenPart, 'details'> {
  if (wire.length === 0) return {}
  const details = wire.map(parseDetail).filter((detail) => detail !== undefined)
  if (details.length !== ids.length || details.some(({ id }, place) => id !== ids[place]))
    throw new FabricError('CF_MESH_REFUSED', { reason: 'details_mismatch' })
  return { details }
}

function committed(
  envelope: Uint8Array,
  ids: readonly number[],
  chain: ChainState,
  { streams }: Pick<ReaderPorts, 'streams'>,
) {
  const { start } = chain
  const opened = taken(openAs(commitmentCodec, envelope, start.swarmId))
  const { jobId, attempt, replica, tokenCount, chunkCount, chainHead, finishReason } = opened.value
  const fits =
    jobId === start.jobId && attempt === start.attempt && replica === start.replica && opened.signer === start.worker
  if (!fits || (streams && tokenCount !== ids.length))
    throw new FabricError('CF_MESH_REFUSED', { reason: 'commitment_mismatch' })
  // A repeated claim brings no chunks: its chain was acknowledged before the restart.
  const whole = chainHead === chain.head && chunkCount === chain.chunkCount && chain.tokenCount === ids.length
  if (chain.chunkCount > 0 && !whole) throw new FabricError('CF_MESH_REFUSED', { reason: 'chunk_mismatch' })
  return { commitment: envelope, finish: finishReason }
}
