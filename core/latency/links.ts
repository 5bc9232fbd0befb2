/**
 * A chain of headers shown after the fact: with an output's token ids and the nonce that salted them, three fields a chunk are enough to
 * compute every header again.
 *
 * Why: whoever computes the head that a worker committed to knows that each header named the tokens that were revealed in the end. A
 * header that was signed before its tokens existed has another hash, also where worker and edge work together.
 *
 * @see docs/PROTOCOL.md#latency-chain
 */
import type { Digest } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { type ChainStart, type Chunk, chainStart, chunkCodec, chunkHash, chunkLeaf, NONCE_BYTES } from './chain.ts'

/** Full chunks of 65,536 tokens: of a longer chain nothing is shown. */
export const LINKS_MAX = 1_024

/** What of a header does not follow from the tokens and the headers before it. */
export type Link = Pick<Chunk, 'tokenCount' | 'echoedNonce' | 'monoNs'>

/** What is shown of a chain. */
export type ShownChain = {
  /** Nonce 0, that of the order to work. */
  readonly nonce: Uint8Array
  /** In order; empty where nothing is shown. */
  readonly links: readonly Link[]
}

export const NOTHING_SHOWN: ShownChain = { nonce: new Uint8Array(NONCE_BYTES), links: [] }

/**
 * Computes the head of the chain that these tokens were sent in.
 *
 * @param ids  of the whole output
 * @returns    undefined when the links are not of so many tokens, or of none or more than a chunk's
 */
export function chainHeadOf(
  start: Omit<ChainStart, 'nonce'>,
  ids: Uint32Array | readonly number[],
  { nonce, links }: ShownChain,
): Digest | undefined {
  const whole: ChainStart = { ...start, nonce }
  const { jobId, attempt, replica, swarmId } = whole
  let previous = chainStart(whole)
  let tokenStart = 0
  for (const [index, { tokenCount, echoedNonce, monoNs }] of links.entries()) {
    const tokens = ids.slice(tokenStart, tokenStart + tokenCount)
    if (tokens.length < 1 || tokens.length !== tokenCount || tokenCount > LIMITS.chunkTokensMax) return undefined
    const place = { jobId, attempt, replica, index, tokenStart, tokenCount }
    const tokensLeaf = chunkLeaf(whole, index, tokens)
    previous = chunkHash(swarmId, chunkCodec.encode({ ...place, tokensLeaf, previous, echoedNonce, monoNs }))
    tokenStart += tokenCount
  }
  return tokenStart === ids.length ? previous : undefined
}
