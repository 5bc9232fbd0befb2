/** The newest entries of the log in memory: for tails, and so that an append that comes again finds what it became. */
import type { PeerId } from '../../core/ids.ts'
import type { Applied } from '../../core/log/apply.ts'
import { entryCodec } from '../../core/log/entry.ts'
import type { LogRecord } from '../runtime/ports.ts'
import { appendKey } from '../stores/ledger-core.ts'

export type RecentEntry = {
  readonly index: bigint
  readonly bytes: Uint8Array
  readonly key: string
  /** Whose append made it, where this node knows. */
  readonly origin: PeerId | undefined
}

export class RecentEntries {
  readonly #countMax: number
  /** Without gaps: oldest first. */
  #entries: RecentEntry[] = []
  readonly #byKey = new Map<string, RecentEntry>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  add({ entry, kind }: Pick<Applied, 'entry' | 'kind'>, origin: PeerId | undefined): void {
    const { index } = entry
    const newest = this.#entries.at(-1)
    if (newest !== undefined && newest.index !== index - 1n) this.#clear()
    const recent = { index, bytes: entryCodec.encode(entry), key: appendKey(kind, entry.body), origin }
    this.#entries.push(recent)
    this.#byKey.set(recent.key, recent)
    if (this.#entries.length > 2 * this.#countMax) this.#shed()
  }

  /** Entries from before this node began to listen: whose they are is not known. @param records  in order, without gaps */
  fill(records: readonly LogRecord[]): void {
    const [oldest] = this.#entries
    const older = records.filter(({ index }) => oldest === undefined || index < oldest.index)
    if (older.length === 0 || (oldest !== undefined && older.at(-1)?.index !== oldest.index - 1n)) return
    const entries = older.flatMap(({ index, bytes }) => recentOf(index, bytes) ?? [])
    if (entries.length !== older.length) return
    this.#entries = [...entries, ...this.#entries]
    for (const entry of entries) if (!this.#byKey.has(entry.key)) this.#byKey.set(entry.key, entry)
  }

  find(key: string): RecentEntry | undefined {
    return this.#byKey.get(key)
  }

  /** @returns undefined when entries from there on are not all here */
  from(index: bigint, countMax: number): readonly RecentEntry[] | undefined {
    const [oldest] = this.#entries
    if (oldest === undefined || index < oldest.index) return undefined
    const start = Number(index - oldest.index)
    return this.#entries.slice(start, start + countMax)
  }

  #clear(): void {
    this.#entries = []
    this.#byKey.clear()
  }

  /** Half at once, so that a long list is not moved at each entry. */
  #shed(): void {
    const gone = this.#entries.splice(0, this.#entries.length - this.#countMax)
    for (const { key, index } of gone) if (this.#byKey.get(key)?.index === index) this.#byKey.delete(key)
  }
}

function recentOf(index: bigint, bytes: Uint8Array): RecentEntry | undefined {
  const decoded = entryCodec.decode(bytes)
  if (decoded.action !== 'accept') return undefined
  const { kind, body } = decoded.value
  return { index, bytes, key: appendKey(kind, body), origin: undefined }
}
