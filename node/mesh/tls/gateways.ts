/** Keeps a node behind NAT reachable: links to a few gateways, on which the gateways call. */
import type { PeerId } from '../../../core/ids.ts'
import type { Directory, PeerAddress } from '../../runtime/mesh.ts'
import type { Clock } from '../../runtime/ports.ts'
import { Call } from '../call.ts'
import type { MeshLimits } from './options.ts'

/** One link to a gateway, made and let in. */
export type GatewayLink = { onClose(work: () => void): void; close(): void }

export type GatewaysPorts = {
  readonly clock: Clock
  readonly directory: Directory
  readonly candidates: () => readonly PeerId[]
  /** @throws when the gateway cannot be reached, or does not call back in time */
  readonly link: (gateway: PeerId, address: PeerAddress, call: Call) => Promise<GatewayLink>
}

export class Gateways {
  readonly #limits: MeshLimits
  readonly #ports: GatewaysPorts
  readonly #links = new Map<PeerId, GatewayLink>()
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()

  constructor(limits: MeshLimits, ports: GatewaysPorts) {
    this.#limits = limits
    this.#ports = ports
  }

  get held(): readonly PeerId[] {
    return [...this.#links.keys()].sort()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs until `close`. */
  async run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#fill()
      await this.#ports.clock.sleep(this.#limits.gatewayRetryMs, signal).catch(() => {})
    }
  }

  close(): void {
    this.#stop.abort()
    for (const link of this.#links.values()) link.close()
  }

  async #fill(): Promise<void> {
    for (const gateway of this.#ports.candidates()) {
      if (this.#links.size >= this.#limits.gatewayCount || this.#stop.signal.aborted) return
      if (!this.#links.has(gateway)) await this.#try(gateway)
    }
  }

  async #try(gateway: PeerId): Promise<void> {
    // A gateway behind a gateway would be a chain that nobody can dial.
    const address = this.#ports.directory.addressesOf(gateway).find(({ kind }) => kind === 'direct')
    if (address === undefined) return
    const options = { deadlineMs: this.#limits.dialMs, signal: this.#stop.signal }
    const call = new Call(options, this.#ports.clock)
    try {
      this.#hold(gateway, await this.#ports.link(gateway, address, call))
    } catch {
      // The next one is tried, and this one again in a while.
    } finally {
      call.end()
    }
  }

  #hold(gateway: PeerId, link: GatewayLink): void {
    this.#links.set(gateway, link)
    link.onClose(() => {
      this.#links.delete(gateway)
      this.#tell()
    })
    this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}
