/** The calling end of a session with one peer: requests and streams go out on it. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { PeerId } from '../../../core/ids.ts'
import type { PeerAddress } from '../../runtime/mesh.ts'
import type { Clock, PeerStream } from '../../runtime/ports.ts'
import type { Call } from '../call.ts'
import { Collector } from './collector.ts'
import { WireFault } from './frame-parser.ts'
import { FrameStream } from './frame-stream.ts'
import type { MeshLimits } from './options.ts'
import type { Purse, Room } from './room.ts'
import {
  broken,
  byteCountOf,
  callHeaders,
  helloHeaders,
  proofOf,
  refusalOf,
  refusalOfWhy,
  refused,
  relayHeaders,
  sessionOptions,
  unreachable,
  widen,
} from './wire.ts'

export type CallerOptions = {
  readonly peer: PeerId
  readonly direction: 'dialled' | 'reverse'
  readonly via: PeerAddress | null
  readonly socket: TLSSocket
  readonly limits: MeshLimits
}
export type CallerPorts = { readonly clock: Clock; readonly room: Room }

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants
const { HTTP2_HEADER_STATUS, HTTP_STATUS_OK } = constants
const NS_PER_MS = 1_000_000n
/** Any authority: the session knows whom it talks to. */
const AUTHORITY = 'https://mesh'

export class Caller {
  readonly peer: PeerId
  readonly direction: 'dialled' | 'reverse'
  readonly via: PeerAddress | null
  readonly sinceMs: number
  readonly #session: ClientHttp2Session
  readonly #socket: TLSSocket
  readonly #limits: MeshLimits
  readonly #ports: CallerPorts
  /** Their answer was all that their call waited for; 'close' may come in the same tick, before anything that awaits it runs. */
  readonly #answeredStreams = new WeakSet<ClientHttp2Stream>()
  #openCalls = 0
  #usedMs: number
  /** When something came from the peer. */
  #heardMs: number
  #pinging = false

  constructor(options: CallerOptions, ports: CallerPorts) {
    this.peer = options.peer
    this.direction = options.direction
    this.via = options.via
    this.#limits = options.limits
    this.#socket = options.socket
    this.#ports = ports
    this.sinceMs = ports.clock.nowMs()
    this.#usedMs = this.#nowMs()
    this.#heardMs = this.#usedMs
    this.#session = connect(AUTHORITY, {
      ...sessionOptions(options.limits),
      createConnection: () => options.socket,
    })
    // What ends a session ends its streams, and those say so to their callers.
    this.#session.on('error', () => {})
    this.#session.once('connect', () => widen(this.#session))
    this.#session.on('goaway', () => this.#session.close())
  }

  get openCalls(): number {
    return this.#openCalls
  }

  get gone(): boolean {
    return this.#session.closed || this.#session.destroyed
  }

  /** Milliseconds since the last call, while none is open. */
  get idleMs(): number {
    return this.#openCalls > 0 ? 0 : this.#nowMs() - this.#usedMs
  }

  get socket(): TLSSocket {
    return this.#socket
  }

  onClose(work: () => void): void {
    this.#session.once('close', work)
  }

  close(): void {
    this.#session.destroy()
  }

  /** Says who we are. @returns the peer's proof @throws CF_MESH_REFUSED with the peer's reason */
  async hello(proof: string, call: Call): Promise<string> {
    const stream = this.#open(helloHeaders(proof), call)
    stream.end()
    stream.resume()
    return proofOf(await this.#answered(stream, call))
  }

  async request(type: string, body: Uint8Array, deadlineMs: number, call: Call): Promise<Uint8Array> {
    const stream = this.#open(callHeaders('call', type, deadlineMs, body.length), call)
    stream.end(body)
    const purse = this.#purseOf(call)
    return call.race(
      new Promise((resolve) => {
        this.#onAnswer(stream, call, (headers) => this.#collect(stream, byteCountOf(headers), purse, call, resolve))
      }),
    )
  }

  async openStream(type: string, body: Uint8Array, deadlineMs: number, call: Call): Promise<PeerStream> {
    const stream = this.#open(callHeaders('stream', type, deadlineMs), call)
    const frames = new FrameStream(stream, {
      limits: this.#limits,
      purse: this.#purseOf(call),
      onFault: (fault) => call.fail(refused(fault.reason)),
      onEnd: (why) => {
        frames.finishReading(refusalOfWhy(why))
        frames.discardWriting()
        stream.end()
        call.end()
      },
    })
    call.signal.addEventListener('abort', () => frames.break(call.signal.reason), { once: true })
    frames.begin(body)
    await call.race(
      new Promise<void>((resolve) => {
        this.#onAnswer(stream, call, () => {
          frames.listen()
          resolve()
        })
      }),
    )
    return frames.asPeerStream(() => call.fail(broken()))
  }

  /** A way through this peer, which is a gateway, to another one: or from a gateway to the peer behind it. */
  async tunnel(path: string, peer: PeerId, call: Call): Promise<ClientHttp2Stream> {
    const stream = this.#open(relayHeaders(path, peer), call)
    await this.#answered(stream, call)
    return stream
  }

  /** Finds out whether the peer still lives; a session that does not say so in time is dropped. */
  probe(): void {
    if (this.#pinging || this.gone || this.#nowMs() - this.#heardMs < this.#limits.pingMs) return
    this.#pinging = true
    const timer = new AbortController()
    this.#ports.clock.sleep(this.#limits.pingDeadlineMs, timer.signal).then(
      () => this.close(),
      () => {},
    )
    const answered = (): void => {
      timer.abort(broken())
      this.#pinging = false
      this.#heardMs = this.#nowMs()
    }
    if (!this.#session.ping(answered)) timer.abort(broken())
  }

  #open(headers: OutgoingHttpHeaders, call: Call): ClientHttp2Stream {
    if (this.gone) throw unreachable(this.peer)
    const stream = this.#session.request(headers, { endStream: false })
    this.#openCalls += 1
    this.#usedMs = this.#nowMs()
    // The reason is in 'close', which comes after every error.
    stream.on('error', () => {})
    stream.once('close', () => {
      this.#openCalls -= 1
      this.#usedMs = this.#nowMs()
      // An error is made only where somebody gets it: its stack costs more than the call.
      if (call.open && !this.#answeredStreams.has(stream)) call.fail(this.#endOf(stream))
    })
    call.signal.addEventListener('abort', () => stream.close(NGHTTP2_CANCEL), { once: true })
    return stream
  }

  /** The headers of a good answer, where they are all that is waited for. */
  #answered(stream: ClientHttp2Stream, call: Call): Promise<IncomingHttpHeaders> {
    return call.race(
      new Promise((resolve) => {
        this.#onAnswer(stream, call, (headers) => {
          this.#answeredStreams.add(stream)
          resolve(headers)
        })
      }),
    )
  }

  /**
   * Goes on with the headers of a good answer; a refusal fails the call.
   *
   * Why no promise: the whole answer, its end and 'close' may come in one tick, before anything that awaits the headers runs.
   */
  #onAnswer(stream: ClientHttp2Stream, call: Call, work: (headers: IncomingHttpHeaders) => void): void {
    stream.once('response', (headers) => {
      this.#heardMs = this.#nowMs()
      if (Number(headers[HTTP2_HEADER_STATUS]) === HTTP_STATUS_OK) work(headers)
      else call.fail(refusalOf(headers))
    })
  }

  /** Why the size must be announced: a stream that was reset ends too. */
  #collect(
    stream: ClientHttp2Stream,
    byteCount: number | undefined,
    purse: Purse,
    call: Call,
    resolve: (answer: Uint8Array) => void,
  ): void {
    const fault = byteCount === undefined ? 'protocol' : 'answer_too_large'
    if (byteCount === undefined || byteCount > this.#limits.frameBytesMax) {
      call.fail(refused(fault))
      return
    }
    const collector = new Collector(byteCount, purse)
    stream.on('data', (chunk: Uint8Array) => failOnFault(call, () => collector.push(chunk)))
    stream.once('end', () => {
      if (!collector.isWhole) return
      // Before 'close', which would fail it.
      call.end()
      resolve(collector.bytes())
    })
  }

  #purseOf(call: Call): Purse {
    const purse = this.#ports.room.purse(this.peer)
    call.onEnd(() => purse.close())
    return purse
  }

  /** Why a stream closed before its call was done. */
  #endOf(stream: ClientHttp2Stream): Error {
    if (this.gone) return unreachable(this.peer)
    return stream.rstCode === NGHTTP2_REFUSED_STREAM ? refused('too_many_calls') : broken()
  }

  #nowMs(): number {
    return Number(this.#ports.clock.monotonicNs() / NS_PER_MS)
  }
}

function failOnFault(call: Call, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof WireFault)) throw error
    call.fail(refused(error.reason))
  }
}
