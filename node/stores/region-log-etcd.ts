/**
 * The region log on etcd: linearizable and on most members' disks before it answers, so any validator may write and the log outlives
 * the loss of a minority of the members. The local database is a projection that other code keeps.
 */
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { SwarmId } from '../../core/ids.ts'
import type { Clock, EntryLink, LogHead, LogRecord, Proposed, ProposeOptions, RegionLog } from '../runtime/ports.ts'
import { EtcdBell } from './region-log-etcd-bell.ts'
import { EtcdClient } from './region-log-etcd-client.ts'
import { EtcdWriter } from './region-log-etcd-commit.ts'
import { recordSnapshot, trimEtcd } from './region-log-etcd-trim.ts'
import { EMPTY_HEAD, EtcdKeys, get, parseHead, parseTxn, parseU64, range } from './region-log-etcd-wire.ts'

export { ETCD_BATCH_COUNT_MAX } from './region-log-etcd-commit.ts'

export type EtcdRegionLogOptions = {
  /** `http://host:port` of the cluster's members, in order of preference. */
  readonly endpoints: readonly string[]
  /** Swarms of one cluster are kept apart by it. */
  readonly swarmId: SwarmId
  /** Reads an entry's place in the chain; undefined for bytes that are no entry. */
  readonly linkOf: (bytes: Uint8Array) => EntryLink | undefined
  /** Of one proposal or read, fail-over included. Absent: 10 s. */
  readonly deadlineMs?: number
}
export type EtcdRegionLogPorts = { readonly clock: Clock }

const DEADLINE_MS = 10_000
const ENDPOINT_COUNT_MAX = 9
/** Entries that one read gives: with entries of 1 KiB well below what is read of an answer. */
const READ_COUNT_MAX = 1_024
const TAIL_PAGE_COUNT = 256
/** Entries whose links are checked on opening: what a cluster restored from an older backup would break first. */
const TAIL_CHECK_COUNT = 256n

export class EtcdRegionLog implements RegionLog {
  readonly name: string
  readonly #options: EtcdRegionLogOptions
  readonly #keys: EtcdKeys
  readonly #client: EtcdClient
  readonly #writer: EtcdWriter
  readonly #bell: EtcdBell
  readonly #deadlineMs: number

  private constructor(origins: readonly string[], options: EtcdRegionLogOptions, ports: EtcdRegionLogPorts) {
    this.name = `etcd:${origins.map((origin) => new URL(origin).host).join(',')}`
    this.#options = options
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
    this.#keys = new EtcdKeys(options.swarmId)
    this.#client = new EtcdClient(origins, ports)
    this.#bell = new EtcdBell(this.#keys.head, this.#client, ports.clock)
    const writing = { keys: this.#keys, linkOf: options.linkOf, deadlineMs: this.#deadlineMs }
    this.#writer = new EtcdWriter(writing, this.#client, () => this.#bell.ring())
  }

  /**
   * @throws CF_CONFIG_INVALID for endpoints that are no origins, CF_STORE_FAILED etcd_unreachable when no member answers,
   *         CF_STORE_FORKED when the last entries do not form a chain
   */
  static async open(options: EtcdRegionLogOptions, ports: EtcdRegionLogPorts): Promise<EtcdRegionLog> {
    const log = new EtcdRegionLog(originsOf(options.endpoints), options, ports)
    try {
      await log.#checkTail()
      return log
    } catch (error) {
      await log.close()
      throw error
    }
  }

  propose(batch: readonly Uint8Array[], options: ProposeOptions): Promise<Proposed> {
    if (this.#bell.closed) return Promise.reject(new FabricError('CF_STORE_FAILED', { reason: 'closed' }))
    return this.#writer.propose(batch, options)
  }

  async read(wanted: bigint, countMax: number): Promise<readonly LogRecord[]> {
    const start = wanted < 0n ? 0n : wanted
    const count = Math.max(0, Math.min(countMax, READ_COUNT_MAX))
    const lowest = start > 0n ? start - 1n : 0n
    const end = start + BigInt(count)
    const keys = this.#keys
    const entries = range(keys.entry(lowest), keys.entry(end), count + 1)
    const [[head], [first], rows = []] = await this.#read([get(keys.head), get(keys.first), entries])
    if (head === undefined) return []
    const kept = first === undefined ? 0n : parseU64(first.value, 0)
    if (start < kept) throw new FabricError('CF_STORE_FAILED', { reason: 'trimmed', first: kept })
    // A trim moves its mark before it deletes: what is below the mark may still be there.
    const hidden = lowest < kept ? keys.entry(lowest) : ''
    const page = rows.filter(({ key }) => key !== hidden).map(({ value }) => value)
    const from = lowest > kept ? lowest : kept
    return this.#checked(page, { from, end, head: parseHead(head.value) }).filter(({ index }) => index >= start)
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<LogRecord> {
    let next = from
    this.#bell.attach()
    try {
      while (!signal.aborted && !this.#bell.closed) {
        const rings = this.#bell.rings
        const page = await this.read(next, TAIL_PAGE_COUNT)
        for (const record of page) {
          if (signal.aborted) return
          yield record
          next = record.index + 1n
        }
        if (page.length === 0) await this.#bell.wait(rings, signal)
      }
    } catch (error) {
      if (!this.#bell.closed) throw error
    } finally {
      this.#bell.detach()
    }
  }

  async head(): Promise<LogHead | undefined> {
    const [[head]] = await this.#read([get(this.#keys.head)])
    return head === undefined ? undefined : parseHead(head.value)
  }

  async snapshot(upTo: bigint, digest: Uint8Array): Promise<void> {
    await recordSnapshot(this.#client, this.#keys, { upTo, digest, deadlineMs: this.#deadlineMs })
  }

  async trim(before: bigint): Promise<void> {
    await trimEtcd(this.#client, this.#keys, { before, deadlineMs: this.#deadlineMs })
  }

  async close(): Promise<void> {
    if (this.#bell.closed) return
    this.#bell.close()
    await this.#writer.close()
    await this.#client.close()
  }

  async #checkTail(): Promise<void> {
    const head = await this.head()
    if (head === undefined) return
    const [[first]] = await this.#read([get(this.#keys.first)])
    const kept = first === undefined ? 0n : parseU64(first.value, 0)
    const from = head.index - TAIL_CHECK_COUNT
    await this.read(from > kept ? from : kept, Number(TAIL_CHECK_COUNT) + 1)
  }

  async #read(operations: readonly unknown[]) {
    const answer = await this.#client.call('/v3/kv/txn', JSON.stringify({ success: operations }), this.#deadlineMs)
    const { ranges } = parseTxn(answer)
    return [ranges[0] ?? [], ranges[1] ?? [], ranges[2] ?? []] as const
  }

  /** The page with its indexes: complete up to the head, each entry following from the one before it. */
  #checked(page: readonly Uint8Array[], span: { from: bigint; end: bigint; head: LogHead }): readonly LogRecord[] {
    const last = span.end <= span.head.index ? span.end - 1n : span.head.index
    const expected = last < span.from ? 0n : last - span.from + 1n
    if (BigInt(page.length) !== expected) throw new FabricError('CF_STORE_FORKED', { index: span.from })
    let previous = span.from === 0n ? EMPTY_HEAD.hash : undefined
    return page.map((bytes, place) => {
      const index = span.from + BigInt(place)
      const link = this.#options.linkOf(bytes)
      const sound = link?.index === index && (previous === undefined || equalBytes(link.previous, previous))
      const isHead = index === span.head.index
      if (!sound || (isHead && !equalBytes(link.hash, span.head.hash)))
        throw new FabricError('CF_STORE_FORKED', { index })
      previous = link.hash
      return { index, bytes }
    })
  }
}

/** @throws CF_CONFIG_INVALID */
function originsOf(endpoints: readonly string[]): readonly string[] {
  const origins = endpoints.map((endpoint) => {
    const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
    const plain = url !== undefined && url.pathname === '/' && url.search === '' && url.username === ''
    if (!plain || !['http:', 'https:'].includes(url.protocol))
      throw new FabricError('CF_CONFIG_INVALID', { reason: 'etcd_endpoint', endpoint })
    return url.origin
  })
  if (origins.length === 0 || origins.length > ENDPOINT_COUNT_MAX)
    throw new FabricError('CF_CONFIG_INVALID', { reason: 'etcd_endpoints', count: origins.length })
  return origins
}
