/** The sessions that others call on, bounded for each peer, and for strangers of each block and of all. */
import type { PeerId } from '../../../core/ids.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { Callee } from './callee.ts'
import type { Gate } from './gate.ts'
import type { MeshLimits, MeshReject } from './options.ts'

export class Callees {
  readonly #limits: MeshLimits
  readonly #gate: Gate
  /** Let in, oldest first. */
  readonly #callees = new Set<Callee>()
  readonly #expected = new Set<Callee>()

  constructor(limits: MeshLimits, gate: Gate) {
    this.#limits = limits
    this.#gate = gate
  }

  all(): readonly Callee[] {
    return [...this.#callees]
  }

  /** A connection whose handshake is done: its first exchange has as long as the handshake had. */
  expect(callee: Callee, clock: Clock): void {
    this.#expected.add(callee)
    const timer = new AbortController()
    callee.onClose(() => {
      this.#expected.delete(callee)
      timer.abort()
    })
    const late = (): void => {
      if (!callee.greeted) callee.close()
    }
    clock.sleep(this.#limits.handshakeMs, timer.signal).then(late, () => {})
  }

  /** @returns why a session that has proved itself is not kept */
  admit(callee: Callee): MeshReject | undefined {
    if (this.#gate.isStranger(callee.peer) && this.#strangersFull(callee.block)) return 'too_many_sessions'
    const [oldest, ...others] = this.all().filter(({ peer }) => peer === callee.peer)
    // The newest is the one that the peer uses: it dials again when it believes the last one lost.
    if (others.length + 1 >= this.#limits.sessionsPerPeerMax) oldest?.close()
    this.keep(callee)
    return undefined
  }

  keep(callee: Callee): void {
    this.#expected.delete(callee)
    this.#callees.add(callee)
    callee.onClose(() => this.#callees.delete(callee))
  }

  drop(peer: PeerId): void {
    for (const callee of this.all()) if (callee.peer === peer) callee.close()
  }

  tick(): void {
    for (const callee of this.#callees) callee.tick()
  }

  close(): void {
    for (const callee of [...this.#expected, ...this.#callees]) callee.close()
  }

  #strangersFull(block: string): boolean {
    const strangers = this.all().filter(({ peer }) => this.#gate.isStranger(peer))
    const { strangersMax, strangersPerBlockMax } = this.#limits
    const ofBlock = strangers.filter((other) => other.block === block)
    return strangers.length >= strangersMax || ofBlock.length >= strangersPerBlockMax
  }
}
