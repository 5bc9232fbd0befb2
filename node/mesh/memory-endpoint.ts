/** One peer's end of the in-process mesh: opens calls, runs handlers, and fails everything open when it closes. */
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { CallOptions, Clock, PeerStream, PeerTransport, RequestHandler, StreamHandler } from '../runtime/ports.ts'
import { Call } from './call.ts'
import { FrameQueue } from './frame-queue.ts'

/** What endpoints ask of the network that joins them. */
export type Wire = {
  readonly limits: { readonly frameCountMax: number; readonly frameBytesMax: number; readonly handlerCountMax: number }
  readonly clock: Clock
  readonly onBug: (error: unknown) => void
  find(peer: PeerId): MemoryEndpoint | undefined
  leave(endpoint: MemoryEndpoint): void
  /** Resolves when a message from one peer to another arrives: false when it was lost. */
  carry(from: PeerId, to: PeerId): Promise<boolean>
  /** The delay of one stream frame. */
  delay(): Promise<void>
}

/** How long `close` waits for handlers that were told to stop. */
const CLOSE_MS = 1_000

export class MemoryEndpoint implements PeerTransport {
  readonly self: PeerId
  readonly #wire: Wire
  readonly #requests = new Map<string, RequestHandler>()
  readonly #streams = new Map<string, StreamHandler>()
  readonly #calls = new Set<Call>()
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(self: PeerId, wire: Wire) {
    this.self = self
    this.#wire = wire
  }

  onMessage(type: string, handler: RequestHandler): void {
    invariant(!this.#requests.has(type), 'one handler per message type')
    this.#requests.set(type, handler)
  }

  onStream(type: string, handler: StreamHandler): void {
    invariant(!this.#streams.has(type), 'one handler per stream type')
    this.#streams.set(type, handler)
  }

  async request(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const sent = this.#copyOf(body)
    const [target, call] = this.#open(peer, options)
    try {
      return await call.race(this.#exchange(target, type, sent, call))
    } finally {
      call.end()
    }
  }

  async openStream(peer: PeerId, type: string, body: Uint8Array, options: CallOptions): Promise<PeerStream> {
    const sent = this.#copyOf(body)
    const [target, call] = this.#open(peer, options)
    try {
      return await call.race(this.#connect(target, type, sent, call))
    } catch (error) {
      call.end()
      throw error
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#wire.leave(this)
    for (const call of this.#calls) call.fail(unreachablePeer(this.self))
    if (this.#running.size === 0) return
    const timer = new AbortController()
    const patience = this.#wire.clock.sleep(CLOSE_MS, timer.signal).catch(() => {})
    await Promise.race([Promise.allSettled(this.#running), patience])
    timer.abort()
  }

  /** Runs the handler of a request that has arrived; a refusal is thrown as the caller will see it. */
  async answer(from: PeerId, type: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const handler = this.#requests.get(type)
    if (handler === undefined) throw refusal('no_handler')
    this.#admit()
    try {
      return this.#copyOf(await this.#track(async () => handler(from, body, signal)))
    } catch (error) {
      throw this.#refusalOf(error, signal)
    }
  }

  /** Starts the handler of a stream that has arrived. @returns settles when the handler does, as the caller will see it */
  accept(
    from: PeerId,
    type: string,
    body: Uint8Array,
    stream: PeerStream,
    signal: AbortSignal,
  ): { readonly done: Promise<void> } {
    const handler = this.#streams.get(type)
    if (handler === undefined) throw refusal('no_handler')
    this.#admit()
    const done = this.#track(async () => handler(from, body, stream, signal)).catch((error: unknown) => {
      throw this.#refusalOf(error, signal)
    })
    return { done }
  }

  /** Makes a call fail when this side closes. */
  join(call: Call): void {
    this.#calls.add(call)
    call.onEnd(() => this.#calls.delete(call))
  }

  #open(peer: PeerId, options: CallOptions): readonly [MemoryEndpoint, Call] {
    options.signal?.throwIfAborted()
    const target = this.#closed ? undefined : this.#wire.find(peer)
    if (target === undefined) throw unreachablePeer(peer)
    const call = new Call(options, this.#wire.clock)
    this.join(call)
    target.join(call)
    return [target, call]
  }

  async #exchange(target: MemoryEndpoint, type: string, body: Uint8Array, call: Call): Promise<Uint8Array> {
    await this.#carry(this.self, target.self, call)
    const answer = await settled(target.answer(this.self, type, body, call.handlerSignal))
    await this.#carry(target.self, this.self, call)
    return answer()
  }

  async #connect(target: MemoryEndpoint, type: string, body: Uint8Array, call: Call): Promise<PeerStream> {
    await this.#carry(this.self, target.self, call)
    const [there, back] = [this.#queue(), this.#queue()]
    const stop = (reason: unknown): void => {
      there.break(broken(), reason)
      back.break(reason, broken())
    }
    const destroy = (): void => {
      call.fail(broken())
      stop(broken())
    }
    call.signal.addEventListener('abort', () => stop(call.signal.reason))
    const { done } = target.accept(this.self, type, body, streamOf(back, there, destroy), call.handlerSignal)
    const finish = (error?: FabricError): void => {
      back.finish(error)
      there.discard()
    }
    const handled = done.then(() => finish(), finish)
    const opened = this.#carry(target.self, this.self, call)
    // The deadline stays until the opening is answered too: the handler may be done while its answer is lost.
    Promise.all([handled, opened]).then(
      () => call.end(),
      () => {},
    )
    await opened
    return streamOf(there, back, destroy)
  }

  /** Waits for a message to arrive; one that is lost never does, and the call's deadline ends the wait. */
  async #carry(from: PeerId, to: PeerId, call: Call): Promise<void> {
    if (!(await this.#wire.carry(from, to))) await new Promise<never>(() => {})
    call.signal.throwIfAborted()
  }

  #queue(): FrameQueue {
    const { frameCountMax, frameBytesMax } = this.#wire.limits
    return new FrameQueue({ frameCountMax, frameBytesMax, carry: this.#wire.delay })
  }

  #copyOf(body: Uint8Array): Uint8Array {
    if (body.length > this.#wire.limits.frameBytesMax) throw refusal('body_too_large')
    return body.slice()
  }

  #admit(): void {
    if (this.#running.size >= this.#wire.limits.handlerCountMax) throw refusal('too_many_calls')
  }

  #track<T>(work: () => Promise<T>): Promise<T> {
    const tracked = work().finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
    return tracked
  }

  /** Why only the code crosses: a message or detail of this side is not the other side's business. */
  #refusalOf(error: unknown, signal: AbortSignal): FabricError {
    if (error instanceof FabricError) return new FabricError('CF_MESH_REFUSED', { code: error.code })
    const stopped = signal.aborted || (error instanceof Error && error.name === 'AbortError')
    if (!stopped) this.#wire.onBug(error)
    return new FabricError('CF_MESH_REFUSED', { code: 'CF_CONTROL_INTERNAL' })
  }
}

function unreachablePeer(peer: PeerId): FabricError {
  return new FabricError('CF_MESH_PEER_UNREACHABLE', { peer })
}

function broken(): FabricError {
  return new FabricError('CF_MESH_STREAM_BROKEN')
}

function refusal(reason: string): FabricError {
  return new FabricError('CF_MESH_REFUSED', { reason })
}

function streamOf(out: FrameQueue, back: FrameQueue, destroy: () => void): PeerStream {
  return {
    send: (frame) => out.push(frame),
    end: () => out.finish(),
    destroy,
    [Symbol.asyncIterator]: () => ({ next: () => back.next() }),
  }
}

/** Turns a rejection into a value, so that a refusal travels back like an answer does. */
function settled<T>(work: Promise<T>): Promise<() => T> {
  return work.then(
    (value) => () => value,
    (error: unknown) => () => {
      throw error
    },
  )
}
