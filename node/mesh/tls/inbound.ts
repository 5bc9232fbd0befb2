/** One call that came in: its deadline, its bytes, and what is left to do before its place is free again. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { FabricError } from '../../../core/errors.ts'
import type { PeerId } from '../../../core/ids.ts'
import type { Clock } from '../../runtime/ports.ts'
import { Call } from '../call.ts'
import { WireFault } from './frame-parser.ts'
import type { MeshLimits, MeshReject } from './options.ts'
import type { Purse, Room } from './room.ts'
import { broken, byteCountOf, deadlineOf, refusalAnswer, refused } from './wire.ts'

export type InboundOptions = {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders
  readonly from: PeerId
  readonly stranger: boolean
  readonly limits: MeshLimits
}
export type InboundPorts = {
  readonly clock: Clock
  readonly room: Room
  readonly onFault: (reason: MeshReject) => void
}

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants

export class Inbound {
  readonly stream: ServerHttp2Stream
  readonly from: PeerId
  readonly limits: MeshLimits
  readonly purse: Purse
  /** Of the body, as the caller announced it. */
  readonly byteCount: number | undefined
  readonly #ports: InboundPorts
  readonly #call: Call
  readonly #sinceMs: number
  readonly #closed = Promise.withResolvers<void>()
  #state: 'arriving' | 'running' | 'ran' = 'arriving'
  /** The first fault is the last: what follows it is of no use. */
  #faulty = false
  #handled: Promise<unknown> = Promise.resolve()

  constructor(options: InboundOptions, ports: InboundPorts) {
    this.#ports = ports
    this.stream = options.stream
    this.from = options.from
    this.limits = options.limits
    this.purse = ports.room.purse(options.from, options.stranger)
    this.byteCount = byteCountOf(options.headers)
    this.#sinceMs = ports.clock.nowMs()
    this.#call = new Call({ deadlineMs: deadlineOf(options.headers, options.limits.callMsMax) }, ports.clock)
    this.#call.signal.addEventListener('abort', () => this.stream.close(NGHTTP2_CANCEL), { once: true })
    this.stream.once('close', () => this.#close())
  }

  /** The stream is closed and its handler has returned. */
  get done(): Promise<unknown> {
    return this.#closed.promise.then(() => this.#handled)
  }

  /** Aborts when the call is over before its handler is. */
  get signal(): AbortSignal {
    return this.#call.handlerSignal
  }

  /** Runs the handler once the body is here; it may run on after the call is over, and keeps its place meanwhile. */
  run(work: () => Promise<void>): void {
    if (!this.#call.open) return
    this.#state = 'running'
    this.#handled = work().finally(() => {
      this.#state = 'ran'
    })
  }

  cut(): void {
    this.#call.fail(broken())
  }

  /** The caller has nothing more to send, and what it sent is not whole. */
  cutShort(): void {
    if (this.#state !== 'ran') this.cut()
  }

  isLate(sinceMs: number): boolean {
    return this.#state === 'arriving' && this.#sinceMs < sinceMs
  }

  refuse(refusal: FabricError): void {
    refuseOn(this.stream, refusal)
  }

  /** Refuses the call when the work finds that the caller broke a rule. */
  guarded(work: () => void): void {
    if (this.#faulty) return
    try {
      work()
    } catch (error) {
      if (!(error instanceof WireFault)) throw error
      this.#faulty = true
      this.#ports.onFault(error.reason)
      this.refuse(refused(error.reason))
    }
  }

  /** The caller broke a rule in the middle of a stream. */
  fault(reason: MeshReject): void {
    this.#ports.onFault(reason)
    this.cut()
  }

  #close(): void {
    if (this.#state === 'ran') this.#call.end()
    else this.#call.fail(broken())
    this.purse.close()
    this.#closed.resolve()
  }
}

/** Without an error where it can be: the caller is to read the answer, and to stop sending. */
export function refuseOn(stream: ServerHttp2Stream, refusal: FabricError): void {
  if (stream.closed || stream.destroyed) return
  // What is still on its way is let go of, not kept.
  stream.resume()
  if (stream.headersSent) {
    stream.close(NGHTTP2_CANCEL)
    return
  }
  stream.respond(refusalAnswer(refusal), { endStream: true })
  stream.close(NGHTTP2_NO_ERROR)
}
