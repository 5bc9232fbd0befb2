/** The called end of a session with one peer: its calls come in here, and are checked, counted, run and answered. */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { FabricError } from '../../../core/errors.ts'
import type { PeerId } from '../../../core/ids.ts'
import type { Clock } from '../../runtime/ports.ts'
import { serveRequest, serveStream } from './answering.ts'
import type { Gate } from './gate.ts'
import type { Handlers } from './handlers.ts'
import { isProved, proofFor } from './hello.ts'
import { Inbound, refuseOn } from './inbound.ts'
import type { MeshLimits, MeshReject } from './options.ts'
import type { Room } from './room.ts'
import {
  type CallRoute,
  helloAnswer,
  isCall,
  peerNamed,
  proofOf,
  type Route,
  refused,
  routeOf,
  sessionOptions,
  widen,
} from './wire.ts'

export type CalleeOptions = {
  readonly peer: PeerId
  /** `reverse`: this node dialled, and is called on the connection. */
  readonly direction: 'accepted' | 'reverse'
  readonly block: string
  readonly socket: TLSSocket
  readonly swarmKey: Uint8Array | null
  readonly limits: MeshLimits
}
export type CalleePorts = {
  readonly clock: Clock
  readonly room: Room
  readonly gate: Gate
  readonly handlers: Handlers
  /** Asked at the first exchange. @returns why this session is not let in */
  readonly onHello: (callee: Callee) => MeshReject | undefined
  /** Somebody wants a way to a peer behind NAT. */
  readonly onRelay: (stream: ServerHttp2Stream, from: PeerId, target: PeerId) => Promise<void>
  /** A gateway brings somebody's connection. */
  readonly onRelayed: (stream: ServerHttp2Stream) => MeshReject | undefined
}

const { NGHTTP2_NO_ERROR } = constants

export class Callee {
  readonly peer: PeerId
  readonly direction: 'accepted' | 'reverse'
  readonly block: string
  readonly sinceMs: number
  readonly #options: CalleeOptions
  readonly #ports: CalleePorts
  readonly #session: ServerHttp2Session
  readonly #inbound = new Set<Inbound>()
  #greeted = false
  #usedMs: number

  constructor(options: CalleeOptions, ports: CalleePorts) {
    this.peer = options.peer
    this.direction = options.direction
    this.block = options.block
    this.#options = options
    this.#ports = ports
    this.sinceMs = ports.clock.nowMs()
    this.#usedMs = this.sinceMs
    this.#session = performServerHandshake(options.socket, sessionOptions(options.limits))
    this.#session.on('error', () => {})
    widen(this.#session)
    this.#session.on('stream', (stream, headers) => this.#arrive(stream, headers))
  }

  get openCalls(): number {
    return this.#inbound.size
  }

  get greeted(): boolean {
    return this.#greeted
  }

  onClose(work: () => void): void {
    this.#session.once('close', work)
  }

  /** Says good-bye first, so that the caller knows that its calls failed with the session. */
  close(): void {
    if (this.#session.destroyed) return
    this.#session.goaway(NGHTTP2_NO_ERROR)
    for (const inbound of this.#inbound) inbound.cut()
    this.#session.destroy()
  }

  /** Ends what takes too long to arrive, and a session that nobody uses. */
  tick(): void {
    const nowMs = this.#ports.clock.nowMs()
    const { bodyMs, idleMs } = this.#options.limits
    for (const inbound of this.#inbound) if (inbound.isLate(nowMs - bodyMs)) inbound.cut()
    if (this.#inbound.size > 0) this.#usedMs = nowMs
    // The caller closes first: it knows that it has nothing to ask.
    else if (this.direction === 'accepted' && nowMs - this.#usedMs > idleMs * 2) this.close()
  }

  #arrive(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // What went wrong is seen at 'close', which comes after every error.
    stream.on('error', () => {})
    const route = routeOf(headers)
    const fault = route === undefined ? 'protocol' : this.#faultOf(route)
    if (route === undefined || fault !== undefined) this.#refuse(stream, fault ?? 'protocol')
    else if (isCall(route)) this.#begin(stream, headers, route)
    else if (route.kind === 'hello') this.#hello(stream, headers)
    else if (route.kind === 'relay') this.#relay(stream, headers)
    else this.#relayed(stream)
  }

  /** Before anything is kept of it. */
  #faultOf(route: Route): MeshReject | undefined {
    const { gate, room } = this.#ports
    if (route.kind === 'hello') return this.#greeted ? 'protocol' : undefined
    if (!this.#greeted) return 'protocol'
    // What a gateway brings is checked as a connection of whom it comes from.
    if (route.kind === 'relayed') return this.direction === 'reverse' ? undefined : 'protocol'
    const fault = gate.faultOf({ peer: this.peer, block: this.block }, route)
    if (fault !== undefined || !isCall(route)) return fault
    return room.enter(this.peer, gate.isStranger(this.peer)) ? undefined : 'too_many_calls'
  }

  #relay(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const target = peerNamed(headers)
    if (target === undefined) this.#refuse(stream, 'protocol')
    else
      this.#ports.onRelay(stream, this.peer, target).catch((error: unknown) => this.#answer(stream, refusalFor(error)))
  }

  #relayed(stream: ServerHttp2Stream): void {
    const fault = this.#ports.onRelayed(stream)
    if (fault !== undefined) this.#refuse(stream, fault)
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, route: CallRoute): void {
    const { clock, room, handlers, gate } = this.#ports
    const { limits } = this.#options
    const stranger = gate.isStranger(this.peer)
    const options = { stream, headers, limits, from: this.peer, stranger }
    const inbound = new Inbound(options, { clock, room, onFault: (reason) => this.#fault(reason) })
    this.#inbound.add(inbound)
    void inbound.done.then(() => {
      this.#inbound.delete(inbound)
      room.leave(this.peer)
    })
    const serve = route.kind === 'call' ? serveRequest : serveStream
    inbound.guarded(() => serve(inbound, route.type, handlers))
  }

  #hello(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const fault = this.#helloFault(proofOf(headers))
    if (fault !== undefined) {
      this.#refuse(stream, fault)
      this.#session.close()
      return
    }
    this.#greeted = true
    stream.respond(helloAnswer(proofFor('called', this.#options.swarmKey, this.#options.socket)), { endStream: true })
    stream.resume()
  }

  #helloFault(proof: string): MeshReject | undefined {
    const { swarmKey, socket } = this.#options
    if (this.#ports.gate.isShut(this.peer)) return 'graylisted'
    if (!isProved(proof, 'caller', swarmKey, socket)) return 'swarm_key'
    return this.#ports.onHello(this)
  }

  #refuse(stream: ServerHttp2Stream, reason: MeshReject): void {
    this.#fault(reason)
    this.#answer(stream, refused(reason))
  }

  #fault(reason: MeshReject): void {
    this.#ports.gate.reject(reason, this.peer)
    if (reason === 'protocol' || reason === 'window_exceeded') this.#ports.gate.penalise(this.peer, 'malformed')
    if (reason === 'body_too_large' || reason === 'frame_too_large') this.#ports.gate.penalise(this.peer, 'flood')
  }

  #answer(stream: ServerHttp2Stream, refusal: FabricError): void {
    refuseOn(stream, refusal)
  }
}

/** What another peer's failure looks like to whom it is told. */
function refusalFor(error: unknown): FabricError {
  const refusal = error instanceof FabricError && error.code === 'CF_MESH_REFUSED'
  return refusal ? error : refused('relay_unknown')
}
