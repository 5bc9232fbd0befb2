/** What the worker of a later attempt is told of the output: what the client has read of it. */
import { idsToBytes, utf8 } from '../../core/codec/bytes.ts'
import type { Job } from '../../core/job/job.ts'
import type { Execute } from '../../core/job/proposal.ts'
import type { FeedShelf } from './feed-shelf.ts'

/** Of an order: its inputs and what the client has read, less than a body may be. */
const PREFIX_BYTES_MAX = 1_100_000
const NOTHING: Pick<Execute, 'prefixIds' | 'prefixText'> = { prefixIds: new Uint8Array(), prefixText: '' }

/**
 * Nothing in a first attempt, and nothing that would make the order too large: then the output is said again from its start, and the
 * client hears what is new.
 */
export function prefixOf(
  job: Job,
  replica: number,
  inputs: Uint8Array,
  feeds: Pick<FeedShelf, 'carry'>,
  stopIds: readonly number[],
): Pick<Execute, 'prefixIds' | 'prefixText'> {
  const { intent } = job
  if (job.attempt === 0 || intent.verify === 'before' || intent.task === 'embedding') return NOTHING
  const isWhole = (ids: readonly number[], text: string): boolean =>
    ids.length >= intent.maxTokens ||
    ids.some((id) => stopIds.includes(id)) ||
    intent.stop.some((end) => text.includes(end))
  const carry = feeds.carry(job, replica, isWhole)
  if (carry === undefined || carry.ids.length === 0) return NOTHING
  const prefixIds = idsToBytes(carry.ids)
  const bytes = inputs.length + prefixIds.length + utf8(carry.text).length
  return bytes > PREFIX_BYTES_MAX ? NOTHING : { prefixIds, prefixText: carry.text }
}
