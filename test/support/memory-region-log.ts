/** The region log without a disk: same rules, same contract suite. */
import { equalBytes, toHex } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { EntryLink, LogHead, LogRecord, Proposed, ProposeOptions, RegionLog } from '../../node/runtime/ports.ts'

export type MemoryLogOptions = {
  readonly linkOf: (bytes: Uint8Array) => EntryLink | undefined
  /** Absent: the caller writes its own projection, as with a remote log. */
  readonly project?: (projection: ProposeOptions['projection']) => void
}
type Result = { readonly first: bigint; readonly last: bigint }

export function createMemoryRegionLog(options: MemoryLogOptions): RegionLog {
  const records: (LogRecord & { readonly hash: Uint8Array })[] = []
  const results = new Map<string, Result>()
  const waiting = new Set<() => void>()
  let first = 0n
  let snapshotted = -1n
  let closed = false
  const head = (): LogHead => records.at(-1) ?? { index: -1n, hash: new Uint8Array(32) }
  const wake = (): void => {
    for (const resume of [...waiting]) resume()
  }

  function append(batch: readonly Uint8Array[], propose: ProposeOptions): Proposed {
    const projected = options.project !== undefined
    const earlier = results.get(toHex(propose.idempotencyKey))
    if (earlier !== undefined) return { status: 'repeated', ...earlier, projected }
    if (!equalBytes(propose.expectHead, head().hash))
      return { status: 'conflict', head: { index: head().index, hash: head().hash } }
    const linked: typeof records = []
    for (const bytes of batch) linked.push(linkAfter(bytes, linked.at(-1) ?? head(), options.linkOf))
    options.project?.(propose.projection)
    const result = { first: head().index + 1n, last: head().index + BigInt(linked.length) }
    records.push(...linked)
    results.set(toHex(propose.idempotencyKey), result)
    return { status: 'appended', ...result, projected }
  }

  function page(from: bigint, countMax: number): readonly LogRecord[] {
    if (from < first) throw new FabricError('CF_STORE_FAILED', { reason: 'trimmed', first })
    return records.filter(({ index }) => index >= from).slice(0, countMax)
  }

  return {
    name: 'memory',
    async propose(batch, propose) {
      await Promise.resolve()
      const proposed = append(batch, propose)
      wake()
      return proposed
    },
    read: async (from, countMax) => page(from, countMax).map(({ index, bytes }) => ({ index, bytes: bytes.slice() })),
    async *tail(from, signal) {
      let next = from
      while (!signal.aborted && !closed) {
        const [record] = page(next, 1)
        if (record === undefined) await appended(waiting, signal)
        else {
          yield { index: record.index, bytes: record.bytes.slice() }
          next = record.index + 1n
        }
      }
    },
    head: async () => records.at(-1),
    async snapshot(upTo) {
      if (upTo > head().index) throw new FabricError('CF_STORE_FAILED', { reason: 'snapshot_beyond_head', upTo })
      if (upTo > snapshotted) snapshotted = upTo
    },
    async trim(before) {
      if (snapshotted < 0n || before > snapshotted + 1n)
        throw new FabricError('CF_STORE_FAILED', { reason: 'trim_without_snapshot', before })
      first = before
      if (first > head().index) first = head().index
      records.splice(
        0,
        records.findIndex(({ index }) => index >= first),
      )
    },
    async close() {
      closed = true
      wake()
    },
  }
}

function linkAfter(
  bytes: Uint8Array,
  after: LogHead,
  linkOf: MemoryLogOptions['linkOf'],
): LogRecord & { readonly hash: Uint8Array } {
  const link = linkOf(bytes)
  const follows = link !== undefined && link.index === after.index + 1n && equalBytes(link.previous, after.hash)
  if (!follows) throw new FabricError('CF_LEDGER_REFUSED', { reason: 'previous_mismatch' })
  return { index: link.index, bytes: bytes.slice(), hash: link.hash }
}

function appended(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const resume = (): void => {
      signal.removeEventListener('abort', resume)
      waiting.delete(resume)
      resolve()
    }
    waiting.add(resume)
    signal.addEventListener('abort', resume, { once: true })
  })
}
