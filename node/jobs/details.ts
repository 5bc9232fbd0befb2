/** Likelihoods of tokens on their way from worker to client: a claim of the worker's, outside of what it commits to. */
import { fromUtf8, utf8 } from '../../core/codec/bytes.ts'
import type { WorkFrame } from '../../core/job/proposal.ts'
import { LIMITS } from '../../core/limits.ts'
import type { TokenChance, TokenDetail } from '../../models/backend.ts'

type WireDetail = WorkFrame['details'][number]
type WireChance = WireDetail['top'][number]

/** Stands for a probability of nothing, as the OpenAI API has it. */
const LOGPROB_MIN = -9_999

export function wireDetail(detail: TokenDetail): WireDetail {
  return { ...wireChance(detail), top: detail.top.slice(0, LIMITS.topLogprobsCountMax).map(wireChance) }
}

function wireChance({ id, text, logprob }: TokenChance): WireChance {
  return { id, text: shortened(text), logprob: floatBytes(logprob) }
}

/** A token that is longer than any real one is shown by its beginning. */
function shortened(text: string): string {
  const bytes = utf8(text)
  if (bytes.length <= LIMITS.tokenTextBytesMax) return text
  for (let end = LIMITS.tokenTextBytesMax; end > 0; end -= 1) {
    const start = fromUtf8(bytes.subarray(0, end))
    if (start !== undefined) return start
  }
  return ''
}

function floatBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, Math.min(0, Math.max(LOGPROB_MIN, value)))
  return bytes
}

/** @returns undefined when a likelihood is none */
export function parseDetail(wire: WireDetail): TokenDetail | undefined {
  const own = parseChance(wire)
  const top = wire.top.map(parseChance).filter((chance) => chance !== undefined)
  return own === undefined || top.length < wire.top.length ? undefined : { ...own, top }
}

function parseChance({ id, text, logprob: bytes }: WireChance): TokenChance | undefined {
  const logprob = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getFloat64(0)
  return logprob <= 0 && logprob >= LOGPROB_MIN ? { id, text, logprob } : undefined
}

/** Memory that a batch's details take, in bytes: an estimate to bound by. */
export function detailBytes(details: readonly TokenDetail[]): number {
  const chances = details.flatMap(({ top, ...own }) => [own, ...top])
  return chances.reduce((sum, { text }) => sum + CHANCE_BYTES + 2 * text.length, 0)
}
const CHANCE_BYTES = 64
