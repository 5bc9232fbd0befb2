/** The mesh between machines: TLS 1.3 pinned to PeerIds, HTTP/2 inside, gateways for who cannot be dialled. */
import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { FabricError } from '../../../core/errors.ts'
import type { PeerId } from '../../../core/ids.ts'
import type { Link, MeshLoad, MeshTransport, PeerAddress, PenaltyReason } from '../../runtime/mesh.ts'
import type { CallOptions, PeerStream, PeerTransport, RequestHandler, StreamHandler } from '../../runtime/ports.ts'
import { Call } from '../call.ts'
import { createMemoryNetwork } from '../memory.ts'
import { Callee, type CalleePorts } from './callee.ts'
import { Callees } from './callees.ts'
import type { Caller } from './caller.ts'
import { Callers } from './callers.ts'
import { credentialsOf } from './certificate.ts'
import { Gate } from './gate.ts'
import { type GatewayLink, Gateways } from './gateways.ts'
import { Handlers } from './handlers.ts'
import { checkSwarmKey } from './hello.ts'
import { Listener } from './listener.ts'
import {
  MESH_LIMITS,
  type MeshLimits,
  type MeshReject,
  type TlsTransportOptions,
  type TlsTransportPorts,
} from './options.ts'
import { Relay } from './relay.ts'
import { Room } from './room.ts'
import { ALPN_REVERSE, answerHeaders, broken, refused, unreachable } from './wire.ts'

export interface TlsTransport extends MeshTransport {
  /** The gateways that hold a link of this node now; its record names them as `relay:` addresses. */
  gateways(): readonly PeerId[]
  /** Called when `gateways()` has changed. @returns stops the calls */
  onGateways(listener: () => void): () => void
  /** For metrics. */
  load(): MeshLoad
}

/** @throws FabricError CF_CONFIG_INVALID for a swarm key that is too short or an address not of this machine; CF_CONTROL_PORT_BUSY */
export async function createTlsTransport(
  options: TlsTransportOptions,
  ports: TlsTransportPorts,
): Promise<TlsTransport> {
  checkSwarmKey(options.swarmKey)
  const mesh = new Mesh(options, ports)
  await mesh.start()
  return mesh
}

/** How long `close` waits for handlers that were told to stop. */
const CLOSE_MS = 1_000

class Mesh implements TlsTransport {
  readonly self: PeerId
  readonly #options: TlsTransportOptions
  readonly #limits: MeshLimits
  readonly #ports: TlsTransportPorts
  readonly #room: Room
  readonly #gate: Gate
  readonly #handlers: Handlers
  readonly #callers: Callers
  readonly #callees: Callees
  readonly #listener: Listener
  readonly #relay: Relay
  readonly #gateways: Gateways
  /** What this node asks itself takes no network. */
  readonly #own: PeerTransport
  readonly #calls = new Set<Call>()
  readonly #stop = new AbortController()
  #relayedCount = 0

  constructor(options: TlsTransportOptions, ports: TlsTransportPorts) {
    const { clock, random, directory } = ports
    const limits = { ...MESH_LIMITS, ...options.limits }
    const credentials = credentialsOf(ports.key)
    const { swarmKey } = options
    this.self = ports.key.peer
    this.#options = options
    this.#limits = limits
    this.#ports = ports
    this.#room = new Room(limits)
    this.#handlers = new Handlers(ports.onBug)
    const onReject = ports.onReject ?? (() => {})
    const onShut = (peer: PeerId): void => this.#callees.drop(peer)
    this.#gate = new Gate({ openTypes: options.openTypes, limits }, { clock, directory, onReject, onShut })
    this.#callers = new Callers(
      { self: this.self, credentials, swarmKey, limits },
      { clock, random, directory, room: this.#room },
    )
    this.#callees = new Callees(limits, this.#gate)
    this.#relay = new Relay(limits, { clock, linkOf: (peer) => this.#callers.reverseOf(peer) })
    const onPeer = (socket: TLSSocket, peer: PeerId, block: string, settle: () => void): void =>
      this.#accept(socket, peer, block, settle)
    this.#listener = new Listener({ credentials, limits }, { clock, onReject, onPeer })
    const link = (gateway: PeerId, address: PeerAddress, call: Call): Promise<GatewayLink> =>
      this.#link(gateway, address, call)
    this.#gateways = new Gateways(limits, { clock, directory, candidates: ports.gateways ?? (() => []), link })
    const { frameBytesMax, frameCountMax, handlersMax } = limits
    const network = createMemoryNetwork(
      { frameBytesMax, frameCountMax, handlerCountMax: handlersMax },
      { clock, random, onBug: ports.onBug },
    )
    this.#own = network.endpoint(this.self)
  }

  async start(): Promise<void> {
    const { listen, behindNat } = this.#options
    if (listen !== null) await this.#listener.listen(listen.host, listen.port)
    if (behindNat === true) void this.#gateways.run()
    void this.#tick()
  }

  get listening(): { readonly host: string; readonly port: number } | undefined {
    return this.#listener.address
  }

  links(): readonly Link[] {
    const called = this.#callees.all().map(({ peer, direction, sinceMs, openCalls }) => ({
      peer,
      direction,
      via: null,
      sinceMs,
      openCalls,
    }))
    const calling = this.#callers.all().map(({ peer, direction, via, sinceMs, openCalls }) => ({
      peer,
      direction,
      via,
      sinceMs,
      openCalls,
    }))
    return [...calling, ...called]
  }

  gateways(): readonly PeerId[] {
    return this.#gateways.held
  }

  onGateways(listener: () => void): () => void {
    return this.#gateways.onChange(listener)
  }

  load(): MeshLoad {
    const links = { dialled: 0, accepted: 0, reverse: 0 }
    for (const { direction } of this.links()) links[direction] += 1
    const [handshakes, graylisted] = [this.#listener.pendingCount, this.#gate.shutCount]
    return { links, ...this.#room.held, handshakes, graylisted }
  }

  penalise(peer: PeerId, reason: PenaltyReason): void {
    this.#gate.penalise(peer, reason)
  }

  onMessage(type: string, handler: RequestHandler): void {
    this.#handlers.onMessage(type, handler)
    this.#own.onMessage(type, handler)
  }

  onStream(type: string, handler: StreamHandler): void {
    this.#handlers.onStream(type, handler)
    this.#own.onStream(type, handler)
  }

  async request(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    if (peer === this.self) return this.#own.request(peer, type, body, options)
    const sent = this.#copyOf(body)
    return this.#calling(peer, options, (caller, call) => caller.request(type, sent, options.deadlineMs, call))
  }

  async openStream(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<PeerStream> {
    if (peer === this.self) return this.#own.openStream(peer, type, body, options)
    const sent = this.#copyOf(body)
    return this.#calling(peer, options, (caller, call) => caller.openStream(type, sent, options.deadlineMs, call))
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    for (const call of this.#calls) call.fail(unreachable(this.self))
    this.#gateways.close()
    this.#callees.close()
    this.#callers.close()
    const closed = Promise.all([this.#listener.close(), this.#own.close(), this.#handlers.settled()])
    const timer = new AbortController()
    const patience = this.#ports.clock.sleep(CLOSE_MS, timer.signal).catch(() => {})
    await Promise.race([closed, patience])
    timer.abort()
  }

  /** The call is over when its answer is whole, or its stream has ended. */
  async #calling<T>(peer: PeerId, options: CallOptions, work: (caller: Caller, call: Call) => Promise<T>): Promise<T> {
    options.signal?.throwIfAborted()
    if (this.#stop.signal.aborted) throw unreachable(peer)
    const call = new Call(options, this.#ports.clock)
    this.#calls.add(call)
    call.onEnd(() => this.#calls.delete(call))
    try {
      const caller = await call.race(this.#callers.to(peer))
      return await work(caller, call)
    } catch (error) {
      call.fail(error)
      if (error instanceof FabricError && error.code === 'CF_MESH_DEADLINE') this.#callers.suspect(peer)
      throw error
    }
  }

  #copyOf(body: Uint8Array): Uint8Array {
    if (body.length > this.#limits.frameBytesMax) throw refused('body_too_large')
    return body.slice()
  }

  #accept(socket: TLSSocket, peer: PeerId, block: string, settle: () => void): void {
    if (this.#stop.signal.aborted || peer === this.self) {
      socket.destroy()
      return
    }
    if (socket.alpnProtocol === ALPN_REVERSE) {
      this.#adopt(socket, peer, settle)
      return
    }
    const options = {
      peer,
      direction: 'accepted',
      block,
      socket,
      swarmKey: this.#options.swarmKey,
      limits: this.#limits,
    } as const
    this.#callees.expect(new Callee(options, this.#calleePorts(settle)), this.#ports.clock)
  }

  /** A member behind NAT wants this node to be its gateway. */
  #adopt(socket: TLSSocket, peer: PeerId, settle: () => void): void {
    const full = this.#callers.reverseCount >= this.#limits.reverseLinksMax
    const fault = this.#gate.isStranger(peer) ? 'stranger' : full ? 'relay_full' : undefined
    if (fault !== undefined) {
      this.#gate.reject(fault, peer)
      socket.destroy()
      return
    }
    this.#callers.adopt(peer, socket).then(settle, () => socket.destroy())
  }

  async #link(gateway: PeerId, address: PeerAddress, call: Call): Promise<GatewayLink> {
    const socket = await this.#callers.connect(gateway, address, ALPN_REVERSE, call)
    const greeted = Promise.withResolvers<void>()
    const options = {
      peer: gateway,
      direction: 'reverse',
      block: 'gateway',
      socket,
      swarmKey: this.#options.swarmKey,
      limits: this.#limits,
    } as const
    const callee = new Callee(options, this.#calleePorts(greeted.resolve))
    callee.onClose(() => greeted.reject(broken()))
    try {
      await call.race(greeted.promise)
    } catch (error) {
      callee.close()
      throw error
    }
    this.#callees.keep(callee)
    return callee
  }

  #calleePorts(onGreeted: () => void): CalleePorts {
    return {
      clock: this.#ports.clock,
      room: this.#room,
      gate: this.#gate,
      handlers: this.#handlers,
      onHello: (callee) => {
        const fault = callee.direction === 'reverse' ? undefined : this.#callees.admit(callee)
        if (fault === undefined) {
          this.#callers.heard(callee.peer)
          onGreeted()
        }
        return fault
      },
      onRelay: (stream, from, target) => this.#relay.serve(stream, from, target),
      onRelayed: (stream) => this.#takeRelayed(stream),
    }
  }

  #takeRelayed(stream: ServerHttp2Stream): MeshReject | undefined {
    if (this.#relayedCount >= this.#limits.relaysMax) return 'relay_full'
    this.#relayedCount += 1
    stream.once('close', () => {
      this.#relayedCount -= 1
    })
    stream.respond(answerHeaders())
    this.#listener.adopt(stream)
    return undefined
  }

  async #tick(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#ports.clock.sleep(this.#limits.pingMs / 2, signal).catch(() => {})
      this.#callers.tick()
      this.#callees.tick()
    }
  }
}
