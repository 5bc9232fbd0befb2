/** A mesh inside one process: what a local swarm runs on and what tests make slow, lossy and unordered. */
import type { PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Clock, PeerTransport, Random } from '../runtime/ports.ts'
import { MemoryEndpoint, type Wire } from './memory-endpoint.ts'

export type MemoryNetworkOptions = {
  /** One-way delay of a message; absent: none. */
  readonly delayMs?: (random: Random) => number
  /** Messages of one link may overtake each other; frames of one stream never do. */
  readonly reorder?: boolean
  /** Of 1000 requests, replies and stream openings, how many vanish. Frames are not lost: a stream is one connection. */
  readonly dropPermille?: number
  /** Frames that a stream buffers in each direction. */
  readonly frameCountMax?: number
  readonly frameBytesMax?: number
  /** Handlers that one endpoint runs at once; beyond it a call is refused. */
  readonly handlerCountMax?: number
}
export type MemoryNetworkPorts = {
  readonly clock: Clock
  readonly random: Random
  /** Gets what a handler threw that is no FabricError; absent: the process crashes with it, as on any bug. */
  readonly onBug?: (error: unknown) => void
}
export type MemoryNetwork = {
  /** Connects a peer; it may connect again after it has closed. */
  endpoint(self: PeerId): PeerTransport
}

/** A random wait that lets messages of one link overtake each other even when the link itself has no delay. */
const REORDER_MS_MAX = 4

export function createMemoryNetwork(options: MemoryNetworkOptions, ports: MemoryNetworkPorts): MemoryNetwork {
  const { clock, random } = ports
  const endpoints = new Map<PeerId, MemoryEndpoint>()
  const links = new Map<string, Promise<unknown>>()
  const dropPermille = options.dropPermille ?? 0

  const wait = (): Promise<void> => {
    const ms = (options.delayMs?.(random) ?? 0) + (options.reorder ? below(random, REORDER_MS_MAX + 1) : 0)
    return ms > 0 ? clock.sleep(ms) : Promise.resolve()
  }
  const wire: Wire = {
    clock,
    limits: {
      frameCountMax: options.frameCountMax ?? 32,
      frameBytesMax: options.frameBytesMax ?? LIMITS.envelopeBytesMax,
      handlerCountMax: options.handlerCountMax ?? 1_024,
    },
    onBug: ports.onBug ?? crash,
    find: (peer) => endpoints.get(peer),
    leave(endpoint) {
      if (endpoints.get(endpoint.self) === endpoint) endpoints.delete(endpoint.self)
    },
    delay: wait,
    async carry(from, to) {
      const lost = dropPermille > 0 && below(random, 1_000) < dropPermille
      const link = `${from}/${to}`
      const arrival = options.reorder ? wait() : Promise.all([links.get(link), wait()])
      if (!options.reorder) links.set(link, arrival)
      await arrival
      return !lost
    },
  }
  return {
    endpoint(self) {
      invariant(!endpoints.has(self), 'a peer connects once at a time')
      const endpoint = new MemoryEndpoint(self, wire)
      endpoints.set(self, endpoint)
      return endpoint
    },
  }
}

/** Crashes the process outside of any promise that could swallow it. */
function crash(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

function below(random: Random, bound: number): number {
  const [high = 0, low = 0] = random.bytes(2)
  return (high * 256 + low) % bound
}
