/** What validators have revealed towards the next beacon, and how long this one has been waiting for it. */
import type { Digest, PeerId } from '../../core/ids.ts'
import type { LogState } from '../../core/log/state.ts'

export class Reveals {
  readonly #revealMs: number
  readonly #parts = new Map<PeerId, Uint8Array>()
  /** Who has told that it has this validator's part. */
  readonly #told = new Set<PeerId>()
  #about = ''
  #turn = ''
  #root: Digest | undefined
  #seenMs = 0

  constructor(revealMs: number) {
    this.#revealMs = revealMs
  }

  /** Follows the log; call it before any other question. What was revealed for an epoch that has begun is forgotten. */
  sync({ epoch, validators, nextRoster }: LogState, nowMs: number): void {
    const about = `${epoch}/${validators.hash}`
    if (about !== this.#about) {
      this.#parts.clear()
      this.#told.clear()
      this.#root = undefined
      this.#about = about
    }
    if (nextRoster !== null && nextRoster.root !== this.#root) {
      this.#root = nextRoster.root
      this.#seenMs = nowMs
    }
  }

  get parts(): ReadonlyMap<PeerId, Uint8Array> {
    return this.#parts
  }

  /** @param peer  of the validator set: that bounds what is kept */
  add(peer: PeerId, nonce: Uint8Array): void {
    this.#parts.set(peer, nonce)
  }

  isTold(peer: PeerId): boolean {
    return this.#told.has(peer)
  }

  /** @param told  false: it must be told again */
  tell(peer: PeerId, told: boolean): void {
    if (told) this.#told.add(peer)
    else this.#told.delete(peer)
  }

  /** Each turn everybody is told again: a validator that restarted has forgotten. */
  turn(name: string): void {
    if (name !== this.#turn) this.#told.clear()
    this.#turn = name
  }

  /** Whether the time to reveal is over, counted from when this validator saw the roster in the log. */
  overdue(nowMs: number): boolean {
    return this.#root !== undefined && nowMs - this.#seenMs >= this.#revealMs
  }
}
