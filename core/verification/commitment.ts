/**
 * What a worker binds itself to before anyone shows an output, and what it shows afterwards.
 *
 * Why so: an answer that is already bound cannot be copied from another replica; the salt keeps a short output from being guessed.
 *
 * @see docs/PROTOCOL.md#commitments-reveals-and-findings
 */
import { domainHash, sha256 } from '#core/hash'
import { idsToBytes, u32be, utf8 } from '../codec/bytes.ts'
import {
  type BodyOf,
  bytes,
  bytesMax,
  code,
  defineBody,
  digest,
  list,
  record,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { NONCE_BYTES } from '../latency/chain.ts'
import { LINKS_MAX } from '../latency/links.ts'
import { LIMITS } from '../limits.ts'

export const FINISH_REASONS = ['stop', 'length', 'aborted'] as const

export const commitmentCodec = defineBody(
  'commitment',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    /** Digest of the assignment body that ordered the work. */
    assignmentHash: digest(),
    outputCommit: digest(),
    tokenCount: u32(),
    finishReason: code(FINISH_REASONS),
    chunkCount: u32(),
    /** Head of the latency chain: every streamed chunk is final. */
    chainHead: digest(),
    /** Prompt chunk sizes in order, as they were decoded: an audit repeats them. */
    schedule: list(u16(), LIMITS.scheduleChunkCountMax),
    engineId: text(96),
  },
  1_920,
)
export type Commitment = BodyOf<typeof commitmentCodec>

export const revealCodec = defineBody(
  'reveal',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    /** Little-endian u32 token ids, the stop token included. */
    ids: bytesMax(LIMITS.outputIdsBytesMax),
    text: text(LIMITS.outputTextBytesMax),
    salt: bytes(32),
    /** Nonce 0 of the latency chain: with the links whoever reads the output can compute `chainHead`. */
    nonce: bytes(NONCE_BYTES),
    /** One a chunk; none where nothing was streamed, or in too many chunks. */
    links: list(record({ tokenCount: u8(), echoedNonce: bytes(NONCE_BYTES), monoNs: u64() }), LINKS_MAX),
  },
  LIMITS.receiptOutputBytesMax,
)
export type Reveal = BodyOf<typeof revealCodec>

const LEAF_TOKENS = 32
const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/**
 * Hashes token ids into a Merkle root (RFC 6962 style prefixes): leaf i is H(0x00 || u32be(i) || 32 ids), a node H(0x01 || left ||
 * right), an odd node moves up as it is. The root of nothing is domainHash('tokens-empty').
 */
export function tokensRoot(ids: Uint32Array | readonly number[]): Digest {
  if (ids.length === 0) return digestOf(domainHash('tokens-empty'))
  let level: Uint8Array[] = []
  for (let start = 0; start < ids.length; start += LEAF_TOKENS) {
    level.push(sha256(LEAF, u32be(start / LEAF_TOKENS), idsToBytes(ids.slice(start, start + LEAF_TOKENS))))
  }
  while (level.length > 1) level = parents(level)
  return digestOf(level[0] ?? new Uint8Array())
}

function parents(level: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (let at = 0; at < level.length; at += 2) {
    const [left, right] = level.slice(at, at + 2)
    if (left !== undefined) above.push(right === undefined ? left : sha256(NODE, left, right))
  }
  return above
}

export function textDigest(output: string): Digest {
  return digestOf(domainHash('text', utf8(output)))
}

/** Binds an output to its job, replica and worker: nobody else can pass it on as its own. */
export function outputCommit(
  jobId: Digest,
  replica: number,
  worker: PeerId,
  root: Digest,
  outputText: Digest,
  salt: Uint8Array,
): Digest {
  const place = Uint8Array.of(replica)
  return digestOf(
    domainHash('output', digestBytes(jobId), place, keyOf(worker), digestBytes(root), digestBytes(outputText), salt),
  )
}

/** Names a commitment in findings: a hash over exactly what the worker signed. */
export function commitmentHash(swarmId: SwarmId, commitmentBody: Uint8Array): Digest {
  return commitmentCodec.digest(swarmId, commitmentBody)
}
