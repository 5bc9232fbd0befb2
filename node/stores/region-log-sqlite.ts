/**
 * The region log on SQLite: log, journal and ledger are one database, so a batch and what follows from it are one transaction.
 * A single point of failure by design (the log's `name` says so); the hash chain shows whether the file was changed behind its back.
 */
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import type { EntryLink, LogHead, LogRecord, Proposed, ProposeOptions, RegionLog } from '../runtime/ports.ts'
import { bigintOf, bytesOf, type Database, numberOf, type Row } from './database.ts'
import { applyWrites } from './store.ts'

export type RegionLogOptions = {
  /** The validator that owns the database. */
  readonly owner: PeerId
  /** Reads an entry's place in the chain; undefined for bytes that are no entry. */
  readonly linkOf: (bytes: Uint8Array) => EntryLink | undefined
}
type Held = LogRecord & { readonly hash: Uint8Array }

const EMPTY_HASH = new Uint8Array(32)
/** Entries whose links are checked on opening: what a torn or restored file would break first. */
const TAIL_CHECK_COUNT = 256n
const READ_COUNT_MAX = 4_096
const TAIL_PAGE_COUNT = 256

export class SqliteRegionLog implements RegionLog {
  readonly name: string
  readonly #database: Database
  readonly #options: RegionLogOptions
  readonly #waiting = new Set<() => void>()
  #closed = false

  /** @throws CF_STORE_FORKED when the last entries do not form a chain */
  constructor(database: Database, options: RegionLogOptions) {
    this.name = `sqlite@${options.owner}`
    this.#database = database
    this.#options = options
    const head = this.#headRow()
    if (head === undefined) return
    const first = this.#first()
    const from = head.index - TAIL_CHECK_COUNT
    this.#page(from > first ? from : first, Number(TAIL_CHECK_COUNT) + 1)
  }

  async propose(batch: readonly Uint8Array[], options: ProposeOptions): Promise<Proposed> {
    const proposed = await this.#database.enqueue(() => this.#append(batch, options))
    if (proposed.status === 'appended') this.#wake()
    return proposed
  }

  async read(from: bigint, countMax: number): Promise<readonly LogRecord[]> {
    return this.#page(from, Math.min(countMax, READ_COUNT_MAX)).map(({ index, bytes }) => ({ index, bytes }))
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<LogRecord> {
    let next = from
    while (!signal.aborted && !this.#closed) {
      const page = await this.read(next, TAIL_PAGE_COUNT)
      for (const record of page) {
        if (signal.aborted) return
        yield record
        next = record.index + 1n
      }
      if (page.length === 0) await this.#appended(signal)
    }
  }

  async head(): Promise<LogHead | undefined> {
    const row = this.#headRow()
    return row === undefined ? undefined : { index: row.index, hash: row.hash }
  }

  async snapshot(upTo: bigint, digest: Uint8Array): Promise<void> {
    await this.#database.enqueue(() => {
      const head = this.#headRow()
      if (head === undefined || upTo > head.index)
        throw new FabricError('CF_STORE_FAILED', { reason: 'snapshot_beyond_head', upTo })
      this.#database.run('INSERT OR REPLACE INTO log_snapshot (entry_index, digest) VALUES (?, ?)', upTo, digest)
    })
  }

  /** Drops entries below `before` that a snapshot covers; the head always stays, because the next entry links to it. */
  async trim(before: bigint): Promise<void> {
    await this.#database.enqueue(() => {
      const covered = this.#database.get('SELECT max(entry_index) AS entry_index FROM log_snapshot')?.['entry_index']
      if (typeof covered !== 'bigint' || before > covered + 1n)
        throw new FabricError('CF_STORE_FAILED', { reason: 'trim_without_snapshot', before })
      this.#database.run(
        'DELETE FROM log_entry WHERE entry_index < min(?, (SELECT max(entry_index) FROM log_entry))',
        before,
      )
      this.#database.run('DELETE FROM log_proposal WHERE last < ?', before)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
  }

  /** Inside a unit: the comparison with the head and the append are one step. */
  #append(batch: readonly Uint8Array[], options: ProposeOptions): Proposed {
    const earlier = this.#database.get('SELECT first, last FROM log_proposal WHERE key = ?', options.idempotencyKey)
    if (earlier !== undefined) {
      return { status: 'repeated', first: bigintOf(earlier, 'first'), last: bigintOf(earlier, 'last'), projected: true }
    }
    const head = this.#headRow() ?? { index: -1n, hash: EMPTY_HASH }
    if (!equalBytes(options.expectHead, head.hash))
      return { status: 'conflict', head: { index: head.index, hash: head.hash } }
    let last: LogHead = head
    for (const [place, bytes] of batch.entries())
      last = this.#insert(bytes, options.links?.[place] ?? this.#options.linkOf(bytes), last)
    if (last === head) throw new FabricError('CF_STORE_FAILED', { reason: 'batch_empty' })
    const first = head.index + 1n
    this.#database.run(
      'INSERT INTO log_proposal (key, first, last) VALUES (?, ?, ?)',
      options.idempotencyKey,
      first,
      last.index,
    )
    applyWrites(this.#database, options.projection)
    return { status: 'appended', first, last: last.index, projected: true }
  }

  #insert(bytes: Uint8Array, link: EntryLink | undefined, after: LogHead): LogHead {
    if (link === undefined || !follows(link, after))
      throw new FabricError('CF_LEDGER_REFUSED', { reason: 'previous_mismatch' })
    this.#database.run(
      'INSERT INTO log_entry (entry_index, hash, bytes) VALUES (?, ?, ?)',
      link.index,
      link.hash,
      bytes,
    )
    return { index: link.index, hash: link.hash }
  }

  /** Reads entries and checks that each follows from the one before it, the first from the one before the page. */
  #page(from: bigint, countMax: number): readonly Held[] {
    const first = this.#first()
    const start = from < 0n ? 0n : from
    if (start < first) throw new FabricError('CF_STORE_FAILED', { reason: 'trimmed', first })
    const before = start - 1n
    const rows = this.#database.all(
      'SELECT entry_index, hash, bytes FROM log_entry WHERE entry_index >= ? ORDER BY entry_index LIMIT ?',
      before,
      countMax + 1,
    )
    const held = rows.map(heldIn)
    const lowest = start > first ? before : start
    if (held[0] !== undefined && held[0].index !== lowest) throw new FabricError('CF_STORE_FORKED', { index: lowest })
    for (const [place, record] of held.entries()) this.#checkLink(record, held[place - 1], first)
    return held.filter((record) => record.index >= start).slice(0, countMax)
  }

  #checkLink(record: Held, previous: Held | undefined, first: bigint): void {
    const link = this.#options.linkOf(record.bytes)
    const sound = link !== undefined && link.index === record.index && equalBytes(link.hash, record.hash)
    if (!sound) throw new FabricError('CF_STORE_FORKED', { index: record.index })
    if (previous !== undefined && !follows(link, previous))
      throw new FabricError('CF_STORE_FORKED', { index: record.index })
    if (record.index === 0n && first === 0n && !equalBytes(link.previous, EMPTY_HASH))
      throw new FabricError('CF_STORE_FORKED', { index: 0 })
  }

  #headRow(): Held | undefined {
    const row = this.#database.get('SELECT entry_index, hash, bytes FROM log_entry ORDER BY entry_index DESC LIMIT 1')
    return row === undefined ? undefined : heldIn(row)
  }

  #first(): bigint {
    const row = this.#database.get('SELECT coalesce(min(entry_index), 0) AS first FROM log_entry')
    return BigInt(numberOf(row ?? {}, 'first'))
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Waits for the next append, the signal or the end of the log, whichever is first. */
  #appended(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake)
        this.#waiting.delete(wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }
}

function follows(link: EntryLink, previous: LogHead): boolean {
  return link.index === previous.index + 1n && equalBytes(link.previous, previous.hash)
}

function heldIn(row: Row): Held {
  return { index: bigintOf(row, 'entry_index'), bytes: bytesOf(row, 'bytes'), hash: bytesOf(row, 'hash') }
}
