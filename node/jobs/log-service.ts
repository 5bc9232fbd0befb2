/** The region log as a validator serves it to peers that do not hold it; a validator that does not either hands on what is appended. */

import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type Digest, digestOf, keyOf, type PeerId, peerIdOf } from '../../core/ids.ts'
import { holdCodec } from '../../core/log/bodies.ts'
import { refuse } from '../../core/log/refusal.ts'
import type { Clock, LogHead, PeerStream, PeerTransport, RegionLog } from '../runtime/ports.ts'
import { appendKey, type StateLedger } from '../stores/ledger-core.ts'
import type { SwarmLogAccess } from './log-access.ts'
import {
  type AppendAnswer,
  type AppendRequest,
  appendRequestCodec,
  encodeAppendAnswer,
  headAnswerCodec,
  LOG_LIMITS,
  originAnswerCodec,
  originRequestCodec,
  type Page,
  pageCodec,
  readRequestCodec,
  tailRequestCodec,
} from './log-messages.ts'
import { RecentEntries } from './log-recent.ts'
import { taken } from './taken.ts'

export type LogServiceOptions = {
  /** How often a tail says that it is alive. */
  readonly heartbeatMs?: number
  readonly tailsPerPeerMax?: number
  readonly tailCountMax?: number
  /** Appends under way: of one peer, and of all. */
  readonly appendsPerPeerMax?: number
  readonly appendCountMax?: number
  /** Entries kept in memory. */
  readonly recentCountMax?: number
}
export type LogServicePorts = {
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly ledger: StateLedger
  /** A region log: this validator holds it. Else how it is reached. */
  readonly log: RegionLog | SwarmLogAccess
  /** Let in by the genesis or the log: nobody else may append or read. */
  readonly isMember: (peer: PeerId) => boolean
}
export type LogService = { close(): void }

type Sending = { readonly origin: PeerId; readonly answer: Promise<AppendAnswer> }

const DEFAULTS = {
  ...{ heartbeatMs: 2_000, tailsPerPeerMax: 4, tailCountMax: 2_048 },
  ...{ appendsPerPeerMax: 1_024, appendCountMax: 4_096, recentCountMax: 4_096 },
} satisfies Required<LogServiceOptions>
/** Entries from before the start that are looked at for appends that come again. */
const FILL_COUNT = 256n
const KEY_BYTES = 32
const ORIGIN_MS = 1_000
const EMPTY: LogHead = { index: -1n, hash: new Uint8Array(32) }

/** Registers `log/append`, `log/read`, `log/head` and `log/tail`. */
export function createLogService(options: LogServiceOptions, ports: LogServicePorts): LogService {
  return new Service({ ...DEFAULTS, ...options }, ports)
}

class Service implements LogService {
  readonly #options: Required<LogServiceOptions>
  readonly #ports: LogServicePorts
  readonly #recent: RecentEntries
  /** By the entry's key. */
  readonly #sending = new Map<Digest, Sending>()
  readonly #appends = new Counts()
  readonly #tails = new Counts()
  /** Whose append drafted an entry, until it is known to be applied. */
  readonly #origins = new Map<Digest, PeerId>()
  readonly #waiting = new Set<() => void>()
  readonly #stop: () => void
  /** Settles when what was logged shortly before the start can be found. */
  readonly #filled: Promise<void>

  constructor(options: Required<LogServiceOptions>, ports: LogServicePorts) {
    this.#options = options
    this.#ports = ports
    this.#recent = new RecentEntries(options.recentCountMax)
    const { ledger, transport } = ports
    this.#stop = ledger.onApplied((applied, own) => {
      this.#recent.add(applied, this.#origins.get(applied.hash) ?? (own ? transport.self : undefined))
      for (const wake of [...this.#waiting]) wake()
    })
    this.#filled = this.#fill().catch(() => {})
    transport.onMessage('log/append', async (from, body) => this.#append(this.#member(from), body))
    transport.onMessage('log/read', async (from, body) => this.#read(this.#member(from), body))
    transport.onMessage('log/head', async (from) => {
      this.#member(from)
      const { index, hash } = await this.#head()
      return headAnswerCodec.encode({ index, hash: digestOf(hash) })
    })
    transport.onMessage('log/origin', async (from, body) => this.#origin(this.#validator(from), body))
    transport.onStream('log/tail', async (from, body, stream, signal) =>
      this.#tail(this.#member(from), taken(tailRequestCodec.decode(body)).from, stream, signal),
    )
  }

  close(): void {
    this.#stop()
    for (const wake of [...this.#waiting]) wake()
  }

  async #fill(): Promise<void> {
    const { ledger, log } = this.#ports
    const { index } = ledger.state.head
    const from = index >= FILL_COUNT ? index - FILL_COUNT + 1n : 0n
    if (index >= 0n) this.#recent.fill(await log.read(from, Number(FILL_COUNT)))
  }

  /** @throws when the peer may not ask, or this node has nothing to say */
  #member(peer: PeerId): PeerId {
    const { isMember, ledger } = this.#ports
    if (!isMember(peer)) throw new FabricError('CF_MESH_REFUSED', { reason: 'stranger' })
    if (ledger.fault !== undefined) throw ledger.fault
    return peer
  }

  #validator(peer: PeerId): PeerId {
    if (this.#ports.ledger.state.validators.keys.includes(peer)) return peer
    throw new FabricError('CF_MESH_REFUSED', { reason: 'no_validator' })
  }

  async #append(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const request = taken(appendRequestCodec.decode(body))
    const origin = this.#originOf(from, request.origin)
    if (request.kind === 'genesis') throw new FabricError('CF_MESH_REFUSED', { reason: 'kind' })
    if (namesAnother(request, origin)) return encodeAppendAnswer(refuse('authority_missing'))
    const { appendCountMax, appendsPerPeerMax } = this.#options
    if (this.#appends.of(from) >= appendsPerPeerMax || this.#appends.total >= appendCountMax)
      throw new FabricError('CF_STORE_QUEUE_FULL', { appends: this.#appends.total })
    return this.#appends.during(from, async () => encodeAppendAnswer(await this.#appendOnce(origin, request)))
  }

  /** Only validators speak for others. */
  #originOf(from: PeerId, named: Uint8Array): PeerId {
    if (named.length === 0 || equalBytes(named, keyOf(from))) return from
    if (named.length !== KEY_BYTES || !this.#ports.ledger.state.validators.keys.includes(from))
      throw new FabricError('CF_MESH_REFUSED', { reason: 'origin' })
    return peerIdOf(named)
  }

  /** The same append from the same peer is one append, however often it is asked for. */
  async #appendOnce(origin: PeerId, request: AppendRequest): Promise<AppendAnswer> {
    const key = appendKey(request.kind, request.body)
    await this.#filled
    const earlier = await this.#becameOf(key, origin, request.again)
    if (earlier !== undefined) return earlier
    const under = this.#sending.get(key)
    if (under?.origin === origin) return this.#joined(under, key, request.again)
    const answer = this.#appendNow(key, origin, request)
    if (under !== undefined) return answer
    this.#sending.set(key, { origin, answer })
    try {
      return await answer
    } finally {
      this.#sending.delete(key)
    }
  }

  /** The try under way may be told that the entry exists, because a later one at another validator was faster. */
  async #joined({ origin, answer }: Sending, key: Digest, again: boolean): Promise<AppendAnswer> {
    const result = await answer
    return result.status === 'applied' ? result : ((await this.#becameOf(key, origin, again)) ?? result)
  }

  async #appendNow(key: Digest, origin: PeerId, { kind, body, again }: AppendRequest): Promise<AppendAnswer> {
    const { ledger, log } = this.#ports
    if (!('propose' in log)) return log.appendFor(origin, kind, body, again)
    let drafted: Digest | undefined
    try {
      const result = await ledger.append(kind, body, ({ hash }) => {
        // A draft that another writer was faster than is made again, with another hash.
        if (drafted !== undefined) this.#origins.delete(drafted)
        drafted = hash
        this.#origins.set(hash, origin)
        return []
      })
      if (result.status === 'applied') return { status: 'applied', index: result.entry.index }
      return (await this.#becameOf(key, origin, again)) ?? result
    } finally {
      if (drafted !== undefined) this.#origins.delete(drafted)
    }
  }

  /**
   * What an earlier try of the same append came to.
   *
   * Why it matters whose it was: of two that ask for the same only one is told that its append made the entry. Where no validator knows
   * any more, whoever has tried before is believed.
   */
  async #becameOf(key: Digest, origin: PeerId, again: boolean): Promise<AppendAnswer | undefined> {
    const known = this.#recent.find(key)
    if (known === undefined) return undefined
    // Who does not hold the log asks who does.
    if (known.origin === undefined && !(again && 'propose' in this.#ports.log)) return undefined
    const whose = known.origin ?? (await this.#whose(key)) ?? origin
    return whose === origin ? { status: 'applied', index: known.index } : undefined
  }

  /** Asks the other validators that write to the log. @throws CF_STORE_FAILED while one of them does not know yet */
  async #whose(key: Digest): Promise<PeerId | undefined> {
    const { ledger, transport } = this.#ports
    const { genesis, validators } = ledger.state
    const others = genesis.log === 'etcd' ? validators.keys.filter((peer) => peer !== transport.self) : []
    const body = originRequestCodec.encode({ key })
    const ask = async (peer: PeerId) =>
      taken(originAnswerCodec.decode(await transport.request(peer, 'log/origin', body, { deadlineMs: ORIGIN_MS })))
    const answers = await Promise.all(others.map((peer) => ask(peer).catch(() => undefined)))
    const told = answers.find((answer) => answer?.knows === 'origin' && answer.origin.length === KEY_BYTES)
    if (told !== undefined) return peerIdOf(told.origin)
    if (answers.some((answer) => answer?.knows === 'pending'))
      throw new FabricError('CF_STORE_FAILED', { reason: 'append_under_way' })
    return undefined
  }

  #origin(_validator: PeerId, body: Uint8Array): Uint8Array {
    const { key } = taken(originRequestCodec.decode(body))
    const origin = this.#recent.find(key)?.origin
    if (origin !== undefined) return originAnswerCodec.encode({ knows: 'origin', origin: keyOf(origin) })
    const pending = this.#sending.has(key) || this.#ports.ledger.isAppending(key)
    return originAnswerCodec.encode({ knows: pending ? 'pending' : 'nothing', origin: new Uint8Array() })
  }

  async #read(_from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const request = taken(readRequestCodec.decode(body))
    const head = await this.#head()
    return pageCodec.encode(await this.#page(request.from, request.countMax, head.index))
  }

  async #head(): Promise<LogHead> {
    return (await this.#ports.log.head()) ?? EMPTY
  }

  /** Pages, then one whenever there is more, and an empty one as a sign of life. */
  async #tail(peer: PeerId, from: bigint, stream: PeerStream, signal: AbortSignal): Promise<void> {
    const { tailsPerPeerMax, tailCountMax, heartbeatMs } = this.#options
    if (this.#tails.of(peer) >= tailsPerPeerMax || this.#tails.total >= tailCountMax)
      throw new FabricError('CF_STORE_QUEUE_FULL', { tails: this.#tails.total })
    await this.#tails.during(peer, async () => {
      let next = from
      // What the log itself has as the tail begins: its reader may have read further elsewhere than this node has.
      let { index: head } = await this.#head()
      while (!signal.aborted) {
        const known = this.#ports.ledger.state.head.index
        if (known > head) head = known
        const page = await this.#page(next, LOG_LIMITS.pageEntriesMax, head)
        await stream.send(pageCodec.encode(page))
        if (page.first > next) return
        next += BigInt(page.entries.length)
        if (page.entries.length === 0) await this.#appended(next, heartbeatMs, signal)
      }
    })
  }

  async #page(from: bigint, countMax: number, head: bigint): Promise<Page> {
    const { ledger, log } = this.#ports
    // What is beyond the state here comes into it first.
    const left = Number(ledger.state.head.index - from) + 1
    const count = Math.min(countMax, LOG_LIMITS.pageEntriesMax, left)
    if (count <= 0) return { head, first: 0n, from, entries: [] }
    const recent = this.#recent.from(from, count)
    if (recent !== undefined) return { head, first: 0n, from, entries: recent.map(({ bytes }) => bytes) }
    try {
      const records = await log.read(from, count)
      return { head, first: 0n, from, entries: records.map(({ bytes }) => bytes) }
    } catch (error) {
      const first = trimmedTo(error)
      if (first === undefined) throw error
      return { head, first, from, entries: [] }
    }
  }

  /** Waits until the state has the entry, or for one heartbeat. */
  #appended(index: bigint, heartbeatMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#ports.ledger.state.head.index >= index) return Promise.resolve()
    return new Promise((resolve) => {
      const over = new AbortController()
      const wake = (): void => {
        over.abort(OVER)
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      this.#ports.clock.sleep(heartbeatMs, over.signal).then(wake, () => {})
    })
  }
}

const OVER = new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'woken' })

/** How much of something each peer has under way. */
class Counts {
  readonly #counts = new Map<PeerId, number>()
  total = 0

  of(peer: PeerId): number {
    return this.#counts.get(peer) ?? 0
  }

  async during<T>(peer: PeerId, work: () => Promise<T>): Promise<T> {
    this.#add(peer, 1)
    try {
      return await work()
    } finally {
      this.#add(peer, -1)
    }
  }

  #add(peer: PeerId, by: number): void {
    const count = this.of(peer) + by
    if (count === 0) this.#counts.delete(peer)
    else this.#counts.set(peer, count)
    this.total += by
  }
}

/** A hold names the edge that appends it: nobody is made to drive a job, and nobody drives it in another's name. */
function namesAnother({ kind, body }: AppendRequest, origin: PeerId): boolean {
  if (kind !== 'hold') return false
  const hold = holdCodec.decode(body)
  // What is no hold the log itself refuses.
  return hold.action === 'accept' && hold.value.edge !== origin
}

/** @returns the first entry that the log still has, when the error says that those before are gone */
function trimmedTo(error: unknown): bigint | undefined {
  if (!(error instanceof FabricError) || error.detail['reason'] !== 'trimmed') return undefined
  const { first } = error.detail
  return typeof first === 'bigint' ? first : undefined
}
