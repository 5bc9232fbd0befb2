/** The region log through validators: the one that holds it before the others, another one when that fails. */
import { FabricError } from '../../core/errors.ts'
import { digestBytes, keyOf, type PeerId } from '../../core/ids.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import type { LogAccess } from '../runtime/mesh.ts'
import type { Clock, LogHead, LogRecord, PeerStream, PeerTransport, Random } from '../runtime/ports.ts'
import type { FollowedLog } from '../stores/ledger-follower.ts'
import {
  type AppendAnswer,
  appendRequestCodec,
  decodeAppendAnswer,
  headAnswerCodec,
  LOG_LIMITS,
  type Page,
  pageCodec,
  readRequestCodec,
  tailRequestCodec,
} from './log-messages.ts'
import { taken } from './taken.ts'

export type LogAccessOptions = {
  /** Of one request to one validator. */
  readonly requestMs?: number
  /** Until an append whose outcome is unknown is given up. */
  readonly appendMs?: number
  /** Until a read that nobody answers is given up. */
  readonly readMs?: number
  /** A tail that says nothing for so long is read elsewhere. */
  readonly silenceMs?: number
  /** Length of one stream, after which the better validator is tried again. */
  readonly tailMs?: number
  /** For how long a validator that failed comes after the others. */
  readonly restMs?: number
  readonly appendCountMax?: number
}
export type LogAccessPorts = {
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly random: Random
  /** In order of preference: who holds the log first. */
  readonly validators: () => readonly PeerId[]
}

export interface SwarmLogAccess extends LogAccess, FollowedLog {
  tail(from: bigint, signal: AbortSignal): AsyncIterable<LogRecord>
  /** The validator that serves the tail; undefined while none does. */
  source(): PeerId | undefined
  distrust(): boolean
  /** Hands on what another peer wants appended. */
  appendFor(origin: PeerId, kind: EntryKind, body: Uint8Array, again: boolean): Promise<AppendAnswer>
  /** Ends what waits for an answer. */
  close(): void
  /** Asks validators one after the other until one answers. @throws the last one's error */
  ask<T>(type: string, body: Uint8Array, read: (answer: Uint8Array) => T): Promise<T>
}

const DEFAULTS = {
  ...{ requestMs: 5_000, appendMs: 30_000, readMs: 15_000, silenceMs: 6_000, tailMs: 120_000, restMs: 5_000 },
  appendCountMax: 4_096,
} satisfies Required<LogAccessOptions>
const RETRY_MS = 50
const RETRY_MS_MAX = 2_000
/** An abort without a reason would make an error of its own, stack and all, for every frame. */
const OVER = new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'frame_came' })

/** The validators that have the log itself: with SQLite one, and nobody can append while it is away. */
export function logHolders({ log, validators }: Genesis): readonly PeerId[] {
  return log === 'sqlite' ? validators.slice(0, 1) : validators
}

export function createLogAccess(options: LogAccessOptions, ports: LogAccessPorts): SwarmLogAccess {
  return new ValidatorLog({ ...DEFAULTS, ...options }, ports)
}

class ValidatorLog implements SwarmLogAccess {
  readonly name = 'swarm'
  readonly #options: Required<LogAccessOptions>
  readonly #ports: LogAccessPorts
  /** Until when a validator comes after the others, by the monotonic clock. */
  readonly #resting = new Map<PeerId, number>()
  readonly #distrusted = new Set<PeerId>()
  #source: PeerId | undefined
  #lastSource: PeerId | undefined
  #appendCount = 0
  readonly #closed = new AbortController()

  constructor(options: Required<LogAccessOptions>, ports: LogAccessPorts) {
    this.#options = options
    this.#ports = ports
  }

  source(): PeerId | undefined {
    return this.#source
  }

  close(): void {
    this.#closed.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
  }

  distrust(): boolean {
    if (this.#lastSource !== undefined) this.#distrusted.add(this.#lastSource)
    const others = this.#ports.validators().filter((peer) => peer !== this.#ports.transport.self)
    return others.some((peer) => !this.#distrusted.has(peer))
  }

  append(kind: EntryKind, body: Uint8Array): Promise<AppendAnswer> {
    return this.appendFor(this.#ports.transport.self, kind, body, false)
  }

  async appendFor(origin: PeerId, kind: EntryKind, body: Uint8Array, again: boolean): Promise<AppendAnswer> {
    if (this.#appendCount >= this.#options.appendCountMax)
      throw new FabricError('CF_STORE_QUEUE_FULL', { appends: this.#appendCount })
    this.#appendCount += 1
    try {
      return await this.#appendSurely({ kind, body, origin: keyOf(origin) }, again)
    } finally {
      this.#appendCount -= 1
    }
  }

  async read(from: bigint, countMax: number): Promise<readonly LogRecord[]> {
    const wanted = Math.min(countMax, LOG_LIMITS.pageEntriesMax)
    const page = await this.ask('log/read', readRequestCodec.encode({ from, countMax: wanted }), decodePage)
    refuseTrimmed(page, from)
    return recordsOf(page)
  }

  async head(): Promise<LogHead | undefined> {
    const { index, hash } = await this.ask('log/head', new Uint8Array(), (bytes) =>
      taken(headAnswerCodec.decode(bytes)),
    )
    return index < 0n ? undefined : { index, hash: digestBytes(hash) }
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<LogRecord> {
    let next = from
    for (let waitMs = RETRY_MS; !signal.aborted; ) {
      const [peer] = this.#candidates()
      try {
        if (peer === undefined) throw new FabricError('CF_MESH_PEER_UNREACHABLE', { reason: 'no_validator' })
        for await (const record of this.#tailOf(peer, next, signal)) {
          yield record
          next = record.index + 1n
          waitMs = RETRY_MS
        }
      } catch (error) {
        if (signal.aborted) return
        // What the validator says of its log is for the reader to judge.
        if (error instanceof FabricError && error.row.retry !== 'elsewhere') throw error
        if (peer !== undefined) this.#rest(peer)
      } finally {
        this.#source = undefined
      }
      await this.#ports.clock.sleep(this.#jittered(waitMs), signal).catch(() => {})
      waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)
    }
  }

  async ask<T>(type: string, body: Uint8Array, read: (answer: Uint8Array) => T): Promise<T> {
    const { transport } = this.#ports
    const { requestMs, readMs } = this.#options
    return this.#inRounds(readMs, async (peer, leftMs) => {
      const deadlineMs = Math.min(requestMs, leftMs)
      return read(await transport.request(peer, type, body, { deadlineMs, signal: this.#closed.signal }))
    })
  }

  #appendSurely(
    entry: { kind: EntryKind; body: Uint8Array; origin: Uint8Array },
    repeated: boolean,
  ): Promise<AppendAnswer> {
    const { transport } = this.#ports
    const { requestMs, appendMs } = this.#options
    let again = repeated
    return this.#inRounds(appendMs, async (peer, leftMs) => {
      const body = appendRequestCodec.encode({ ...entry, again })
      // Whatever comes of it but an answer: it may have been appended.
      again = true
      const deadlineMs = Math.min(requestMs, leftMs)
      const answer = await transport.request(peer, 'log/append', body, { deadlineMs, signal: this.#closed.signal })
      const decoded = decodeAppendAnswer(answer)
      if (decoded === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'answer_malformed' })
      return decoded
    })
  }

  /** Tries one validator after the other, round after round with growing pauses, until one answers or the time is up. */
  async #inRounds<T>(totalMs: number, attempt: (peer: PeerId, leftMs: number) => Promise<T>): Promise<T> {
    const endMs = this.#nowMs() + totalMs
    let failure = new FabricError('CF_MESH_PEER_UNREACHABLE', { reason: 'no_validator' })
    for (let waitMs = RETRY_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
      for (const peer of this.#candidates()) {
        const leftMs = endMs - this.#nowMs()
        if (leftMs <= 0) throw failure
        try {
          const answer = await attempt(peer, leftMs)
          this.#resting.delete(peer)
          return answer
        } catch (error) {
          if (!(error instanceof FabricError) || error.row.retry !== 'elsewhere') throw error
          // Who was there and refused says more than who was not there.
          if (error.code !== 'CF_MESH_PEER_UNREACHABLE' || failure.code === 'CF_MESH_PEER_UNREACHABLE') failure = error
          this.#rest(peer)
        }
      }
      if (this.#nowMs() + waitMs >= endMs) throw failure
      await this.#ports.clock.sleep(this.#jittered(waitMs), this.#closed.signal)
    }
  }

  async *#tailOf(peer: PeerId, from: bigint, signal: AbortSignal): AsyncGenerator<LogRecord> {
    const stream = await this.#openTail(peer, from, signal)
    this.#lastSource = peer
    try {
      let next = from
      for await (const frame of this.#heard(stream)) {
        const page = decodePage(frame)
        this.#source = peer
        refuseTrimmed(page, next)
        // Its log ends before what this node has read from it, or from another that shares it.
        if (page.head < next - 1n) throw new FabricError('CF_STORE_FORKED', { index: page.head, reason: 'rolled_back' })
        if (page.entries.length > 0 && page.from !== next)
          throw new FabricError('CF_MESH_REFUSED', { reason: 'page_gap' })
        for (const record of recordsOf(page)) {
          yield record
          next = record.index + 1n
        }
        if (page.entries.length > 0) this.#distrusted.delete(peer)
      }
    } finally {
      stream.destroy()
    }
  }

  /** A validator that takes the call and says nothing is not waited for as long as a tail may last. */
  async #openTail(peer: PeerId, from: bigint, signal: AbortSignal): Promise<PeerStream> {
    const over = new AbortController()
    const options = { deadlineMs: this.#options.tailMs, signal: AbortSignal.any([signal, over.signal]) }
    try {
      return await this.#within(
        this.#ports.transport.openStream(peer, 'log/tail', tailRequestCodec.encode({ from }), options),
      )
    } catch (error) {
      over.abort(error)
      throw error
    }
  }

  /** The frames of a stream, as long as they come often enough. */
  async *#heard(stream: PeerStream): AsyncGenerator<Uint8Array> {
    const frames = stream[Symbol.asyncIterator]()
    for (;;) {
      const result = await this.#within(frames.next())
      if (result.done === true) return
      yield result.value
    }
  }

  /** @throws CF_MESH_DEADLINE when the frame does not come in time */
  async #within<T>(frame: Promise<T>): Promise<T> {
    const over = new AbortController()
    const silence = this.#ports.clock.sleep(this.#options.silenceMs, over.signal).then(() => {
      throw new FabricError('CF_MESH_DEADLINE', { reason: 'tail_silent' })
    })
    silence.catch(() => {})
    frame.catch(() => {})
    try {
      return await Promise.race([frame, silence])
    } finally {
      over.abort(OVER)
    }
  }

  /** Those that rest come last, the ones that lied only when nobody else is left. */
  #candidates(): readonly PeerId[] {
    const nowMs = this.#nowMs()
    const peers = this.#ports.validators().filter((peer) => peer !== this.#ports.transport.self)
    const rank = (peer: PeerId): number =>
      (this.#distrusted.has(peer) ? 2 : 0) + ((this.#resting.get(peer) ?? 0) > nowMs ? 1 : 0)
    return peers.toSorted((a, b) => rank(a) - rank(b))
  }

  #rest(peer: PeerId): void {
    this.#resting.set(peer, this.#nowMs() + this.#options.restMs)
  }

  #nowMs(): number {
    return Number(this.#ports.clock.monotonicNs() / 1_000_000n)
  }

  /** Half to all of the wait: peers that lost one validator together do not come back together. */
  #jittered(waitMs: number): number {
    const [byte = 0] = this.#ports.random.bytes(1)
    return Math.ceil((waitMs * (256 + byte)) / 512)
  }
}

function decodePage(bytes: Uint8Array): Page {
  return taken(pageCodec.decode(bytes))
}

function recordsOf({ from, entries }: Page): readonly LogRecord[] {
  return entries.map((bytes, place) => ({ index: from + BigInt(place), bytes }))
}

function refuseTrimmed({ first }: Page, from: bigint): void {
  if (from < first) throw new FabricError('CF_STORE_FAILED', { reason: 'trimmed', first })
}
