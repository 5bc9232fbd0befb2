/**
 * Calls to the members of one etcd cluster through the HTTP/JSON gateway of its v3 API: another member is asked when one is silent,
 * and every call ends by its deadline. What was sent may have been done although no answer came, so only calls that may be repeated
 * belong here.
 */
import { Pool } from 'undici'
import { FabricError } from '../../core/errors.ts'
import type { Clock } from '../runtime/ports.ts'

export type EtcdClientPorts = { readonly clock: Clock }
type Member = { readonly origin: string; readonly pool: Pool }
/** `fatal`: no other member and no later time would give another answer. */
type Failure = { readonly fatal: boolean; readonly reason: string; readonly cause?: unknown }
type Outcome = { readonly value: unknown } | Failure

const CONNECTION_COUNT = 4
const CONNECT_MS = 1_000
/** An answer that takes longer than this many times what answers take is looked for at another member. */
const PATIENCE_FACTOR = 6
const PATIENCE_MS_MIN = 400
const PATIENCE_MS_MAX = 3_000
/** Weight of one more answer in the estimate of what answers take. */
const SMOOTHING = 0.125
/** Between two rounds in which every member failed at once. */
const ROUND_PAUSE_MS = 40
const ANSWER_BYTES_MAX = 16_777_216
/** A watch on which nothing came for so long is made again, elsewhere: its member may have gone without a word. */
const WATCH_IDLE_MS = 15_000

/** gRPC's status codes that say "not now"; what the others say is true of every member. */
const PASSING_CODES: readonly number[] = [1, 2, 4, 8, 10, 14]
const NO_SPACE = /space exceeded/

export class EtcdClient {
  readonly #members: readonly Member[]
  readonly #ports: EtcdClientPorts
  #current = 0
  /** Where the next watch is made: each time elsewhere. */
  #watched = 0
  #typicalMs = 50
  #closed = false

  /** @param origins  `http://host:port`, at least one */
  constructor(origins: readonly string[], ports: EtcdClientPorts) {
    this.#ports = ports
    this.#members = origins.map((origin) => ({
      origin,
      pool: new Pool(origin, { connections: CONNECTION_COUNT, connect: { timeout: CONNECT_MS }, pipelining: 1 }),
    }))
  }

  /**
   * Asks until a member answers.
   *
   * @throws CF_STORE_FAILED etcd_unreachable at the deadline (the call may have been done all the same), etcd_no_space,
   *         etcd_refused
   */
  async call(path: string, body: string, deadlineMs: number): Promise<unknown> {
    const endNs = this.#ports.clock.monotonicNs() + BigInt(Math.ceil(deadlineMs)) * 1_000_000n
    for (let failureCount = 0; ; ) {
      const leftMs = Number(endNs - this.#ports.clock.monotonicNs()) / 1e6
      const outcome = await this.#try(path, body, Math.min(this.#patienceMs(failureCount), Math.max(leftMs, 1)))
      if ('value' in outcome) return outcome.value
      failureCount += 1
      const over = this.#ports.clock.monotonicNs() >= endNs
      if (outcome.fatal || over) throw failed(outcome.fatal ? outcome.reason : 'etcd_unreachable', outcome)
      this.#current = (this.#current + 1) % this.#members.length
      if (failureCount % this.#members.length === 0) await this.#ports.clock.sleep(ROUND_PAUSE_MS)
    }
  }

  /**
   * Yields once the watch on the key is in place and then at each change, until it breaks off or the signal aborts.
   *
   * Why no events: what changed is read from the log itself, so nothing is lost when a watch is made anew or etcd has compacted the
   * revisions that it missed.
   */
  async *watch(key: string, signal: AbortSignal): AsyncGenerator<undefined> {
    const member = this.#members[this.#watched]
    this.#watched = (this.#watched + 1) % this.#members.length
    if (member === undefined) return
    const { statusCode, body } = await member.pool.request({
      method: 'POST',
      path: '/v3/watch',
      body: JSON.stringify({ create_request: { key } }),
      // A member that has lost its leader says so instead of being silent.
      headers: { 'content-type': 'application/json', 'grpc-metadata-hasleader': 'true' },
      headersTimeout: CONNECT_MS * 2,
      bodyTimeout: WATCH_IDLE_MS,
      signal,
    })
    body.on('error', () => {})
    if (statusCode !== 200) throw failed('etcd_refused', { reason: `watch_${statusCode}` })
    for await (const _part of body) yield undefined
  }

  /** What is being asked ends with CF_STORE_FAILED. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#members.map(({ pool }) => pool.destroy()))
  }

  #member(): Member {
    const member = this.#members[this.#current]
    if (member === undefined) throw new FabricError('CF_STORE_FAILED', { reason: 'etcd_no_endpoints' })
    return member
  }

  /** Grows with the failures of one call, so that a slow disk is not asked the same thing ever more often. */
  #patienceMs(failureCount: number): number {
    const base = Math.max(PATIENCE_MS_MIN, this.#typicalMs * PATIENCE_FACTOR)
    return Math.min(base * 1.25 ** Math.floor(failureCount / this.#members.length), PATIENCE_MS_MAX)
  }

  async #try(path: string, body: string, patienceMs: number): Promise<Outcome> {
    const { clock } = this.#ports
    const startNs = clock.monotonicNs()
    try {
      const answer = await this.#member().pool.request({
        method: 'POST',
        path,
        body,
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(Math.ceil(patienceMs)),
      })
      const outcome = outcomeOf(answer.statusCode, await boundedText(answer.body))
      if ('value' in outcome) {
        const tookMs = Number(clock.monotonicNs() - startNs) / 1e6
        this.#typicalMs += SMOOTHING * (tookMs - this.#typicalMs)
      }
      return outcome
    } catch (cause) {
      if (cause instanceof FabricError) return { fatal: true, reason: 'etcd_answer_too_large' }
      return { fatal: this.#closed, reason: this.#closed ? 'closed' : 'etcd_unreachable', cause }
    }
  }
}

function failed(reason: string, failure: Omit<Failure, 'fatal'>): FabricError {
  return new FabricError('CF_STORE_FAILED', { reason, said: failure.reason }, failure.cause)
}

function outcomeOf(statusCode: number, text: string): Outcome {
  const value = parseJson(text)
  if (statusCode === 200 && value !== undefined) return { value }
  const { code, message } = parseFault(value)
  if (NO_SPACE.test(message)) return { fatal: true, reason: 'etcd_no_space' }
  const passing = code === undefined ? statusCode >= 500 || statusCode === 200 : PASSING_CODES.includes(code)
  return { fatal: !passing, reason: passing ? 'etcd_unavailable' : 'etcd_refused', cause: new Error(message) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseFault(value: unknown): { code: number | undefined; message: string } {
  if (typeof value !== 'object' || value === null) return { code: undefined, message: 'no JSON' }
  const code = 'code' in value && typeof value.code === 'number' ? value.code : undefined
  const message = 'message' in value && typeof value.message === 'string' ? value.message.slice(0, 200) : ''
  return { code, message }
}

async function boundedText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  let byteCount = 0
  for await (const part of body) {
    byteCount += part.length
    if (byteCount > ANSWER_BYTES_MAX) throw new FabricError('CF_STORE_FAILED', { reason: 'etcd_answer_too_large' })
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
