/** Messages by which nodes that do not hold the region log reach it. */
import {
  type BodyOf,
  bytesMax,
  code,
  defineBody,
  digest,
  flag,
  i64,
  list,
  text,
  u16,
  u32,
  u64,
} from '../../core/codec/schema.ts'
import { digestBytes, digestOf, parseJobId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { ENTRY_KINDS } from '../../core/log/entry.ts'
import { REFUSAL_REASONS, type RefusalReason, type Refused, refuse } from '../../core/log/refusal.ts'
import { manifestCodec, SNAPSHOT_LIMITS } from '../../core/log/snapshot.ts'

export const LOG_LIMITS = {
  /** Entries of one answer or frame. */
  pageEntriesMax: 256,
  /** Bytes of the entries of one answer or frame. */
  pageBytesMax: 262_144,
} as const

/** Room for lengths and the other fields beside a page of entries. */
const PAGE_MESSAGE_BYTES_MAX = LOG_LIMITS.pageBytesMax + LOG_LIMITS.pageEntriesMax * 16 + 256
const KEY_BYTES = 32
const NOTHING = new Uint8Array()

export const appendRequestCodec = defineBody(
  'log-append',
  {
    kind: code(ENTRY_KINDS),
    body: bytesMax(LIMITS.entryBytesMax),
    /** Empty: the sender itself. Else the key of the peer for which a validator without the log hands the entry on. */
    origin: bytesMax(KEY_BYTES),
    /** The sender does not know what became of an earlier try. */
    again: flag(),
  },
  LIMITS.entryBytesMax + 128,
)
export type AppendRequest = BodyOf<typeof appendRequestCodec>

const appendAnswerBody = defineBody(
  'log-append-answer',
  {
    applied: flag(),
    index: u64(),
    /** Empty when applied. */
    reason: text(64),
    /** Empty, or the job that was there before. */
    jobId: bytesMax(KEY_BYTES),
    /** Empty, or the entry that used the key first. */
    entryHash: bytesMax(KEY_BYTES),
  },
  256,
)
export type AppendAnswer = { readonly status: 'applied'; readonly index: bigint } | Refused

export function encodeAppendAnswer(answer: AppendAnswer): Uint8Array {
  if (answer.status === 'applied') {
    const { index } = answer
    return appendAnswerBody.encode({ applied: true, index, reason: '', jobId: NOTHING, entryHash: NOTHING })
  }
  const { reason } = answer
  const jobId = answer.jobId === undefined ? NOTHING : digestBytes(answer.jobId)
  const entryHash = answer.entryHash === undefined ? NOTHING : digestBytes(answer.entryHash)
  return appendAnswerBody.encode({ applied: false, index: 0n, reason, jobId, entryHash })
}

/** @returns undefined for bytes that are no answer */
export function decodeAppendAnswer(bytes: Uint8Array): AppendAnswer | undefined {
  const decoded = appendAnswerBody.decode(bytes)
  if (decoded.action !== 'accept') return undefined
  const { applied, index, reason, jobId, entryHash } = decoded.value
  if (applied) return { status: 'applied', index }
  const known = parseReason(reason)
  if (known === undefined) return undefined
  const job = jobId.length === KEY_BYTES ? parseJobId(digestOf(jobId)) : undefined
  return refuse(known, {
    ...(job === undefined ? {} : { jobId: job }),
    ...(entryHash.length === KEY_BYTES ? { entryHash: digestOf(entryHash) } : {}),
  })
}

function parseReason(text: string): RefusalReason | undefined {
  return REFUSAL_REASONS.find((reason) => reason === text)
}

/** One validator asks another whose append made an entry. */
export const originRequestCodec = defineBody('log-origin', { key: digest() }, 64)
export const originAnswerCodec = defineBody(
  'log-origin-answer',
  {
    /** `pending`: an append of this entry is under way there. */
    knows: code(['nothing', 'pending', 'origin']),
    /** Empty, or the peer's key. */
    origin: bytesMax(KEY_BYTES),
  },
  64,
)

export const readRequestCodec = defineBody('log-read', { from: u64(), countMax: u16() }, 64)
export const tailRequestCodec = defineBody('log-tail', { from: u64() }, 32)

/** Entries one after the other from `from` on. As a frame of a tail also the sign of life of who serves it. */
export const pageCodec = defineBody(
  'log-page',
  {
    /** Index of the last entry of the log; -1 for none. */
    head: i64(),
    /** Index of the first entry that the log still has. */
    first: u64(),
    from: u64(),
    entries: list(bytesMax(LIMITS.entryBytesMax), LOG_LIMITS.pageEntriesMax),
  },
  PAGE_MESSAGE_BYTES_MAX,
)
export type Page = BodyOf<typeof pageCodec>

/** Index -1 for an empty log. */
export const headAnswerCodec = defineBody('log-head', { index: i64(), hash: digest() }, 64)

/** Asks for the newest certified snapshot: `index` and `place` 0; or for one piece of it: `place` from 1 on. */
export const snapshotRequestCodec = defineBody('log-snapshot', { index: u64(), place: u32() }, 32)

/** A manifest (core/log/snapshot.ts) and what proves that it is the swarm's. */
export const snapshotAnswerCodec = defineBody(
  'log-snapshot-answer',
  {
    manifest: bytesMax(manifestCodec.bytesMax),
    entry: bytesMax(LIMITS.entryBytesMax),
    setChanges: list(bytesMax(LIMITS.entryBytesMax), SNAPSHOT_LIMITS.setChangeCountMax),
  },
  manifestCodec.bytesMax + (SNAPSHOT_LIMITS.setChangeCountMax + 1) * (LIMITS.entryBytesMax + 8) + 64,
)

/** What validators are asked to vote on: they compare it with the snapshot that they took themselves. */
export const snapshotProposalCodec = defineBody('snapshot-proposal', { index: u64(), digest: digest() }, 64)
