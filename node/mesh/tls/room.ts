/** What the work of others may hold of this node at once: handlers and bytes, of each peer and of all. */
import type { PeerId } from '../../../core/ids.ts'
import type { MeshLimits } from './options.ts'

type Share = { handlers: number; bytes: number }

/** Strangers get a fraction of a member's bytes and handlers. */
const STRANGER_DIVISOR = 16

export class Room {
  readonly #limits: MeshLimits
  readonly #shares = new Map<PeerId, Share>()
  readonly #total: Share = { handlers: 0, bytes: 0 }

  constructor(limits: MeshLimits) {
    this.#limits = limits
  }

  /** For metrics and tests. */
  get held(): Readonly<Share> {
    return this.#total
  }

  /** @returns false when the peer, or all of them, run as many handlers as they may */
  enter(peer: PeerId, stranger: boolean): boolean {
    const { handlersPerPeerMax, handlersMax } = this.#limits
    const share = this.#shareOf(peer)
    const max = stranger ? Math.ceil(handlersPerPeerMax / STRANGER_DIVISOR) : handlersPerPeerMax
    const allowed = share.handlers < max && this.#total.handlers < ofAll(handlersMax, stranger)
    if (allowed) {
      share.handlers += 1
      this.#total.handlers += 1
    }
    this.#forget(peer, share)
    return allowed
  }

  leave(peer: PeerId): void {
    const share = this.#shareOf(peer)
    share.handlers -= 1
    this.#total.handlers -= 1
    this.#forget(peer, share)
  }

  purse(peer: PeerId, stranger = false): Purse {
    const { peerBytesMax, totalBytesMax } = this.#limits
    const max = stranger ? peerBytesMax / STRANGER_DIVISOR : peerBytesMax
    return new Purse((bytes) => {
      const share = this.#shareOf(peer)
      const fits = share.bytes + bytes <= max && this.#total.bytes + bytes <= ofAll(totalBytesMax, stranger)
      const allowed = bytes <= 0 || fits
      if (allowed) {
        share.bytes += bytes
        this.#total.bytes += bytes
      }
      this.#forget(peer, share)
      return allowed
    })
  }

  #shareOf(peer: PeerId): Share {
    const share = this.#shares.get(peer) ?? { handlers: 0, bytes: 0 }
    this.#shares.set(peer, share)
    return share
  }

  /** Why: the map would otherwise grow with every key that has ever called. */
  #forget(peer: PeerId, share: Share): void {
    if (share.handlers === 0 && share.bytes === 0) this.#shares.delete(peer)
  }
}

/** Strangers together leave half of everything to members. */
function ofAll(max: number, stranger: boolean): number {
  return stranger ? max / 2 : max
}

/** The bytes of one call: taken as they come, given back together or as they go. */
export class Purse {
  readonly #take: (bytes: number) => boolean
  #held = 0
  #closed = false

  constructor(take: (bytes: number) => boolean) {
    this.#take = take
  }

  hold(bytes: number): boolean {
    if (this.#closed || !this.#take(bytes)) return false
    this.#held += bytes
    return true
  }

  release(bytes: number): void {
    if (this.#closed) return
    this.#held -= bytes
    this.#take(-bytes)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#take(-this.#held)
  }
}
