/** Makes room for a model: within the bounds on count and memory, at the cost of those that nobody has used for the longest time. */
import { FabricError } from '../../../core/errors.ts'
import { withinMs } from '../../hosts/deadline.ts'
import type { Member } from './member.ts'
import type { PoolOptions, PoolPorts } from './model-pool.ts'

export type RoomPorts = Pick<PoolPorts, 'clock' | 'estimate' | 'memory'> & {
  readonly members: () => readonly Member[]
  /** It is not unloaded for another. */
  readonly isPinned: (member: Member) => boolean
  readonly unload: (member: Member) => Promise<void>
}

/** `need`: what the model is taken to take; `granted`: what it may take at most. Bytes. */
export type Granted = { readonly need: number; readonly granted: number }

export class Room {
  readonly #options: Pick<PoolOptions, 'modelsMax' | 'loadWaitMs'>
  readonly #ports: RoomPorts
  #change = Promise.withResolvers<void>()

  constructor(options: Pick<PoolOptions, 'modelsMax' | 'loadWaitMs'>, ports: RoomPorts) {
    this.#options = options
    this.#ports = ports
  }

  /** A model has gone, or nobody uses it any more: whoever waits looks again. */
  changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  /**
   * Waits for room.
   *
   * @param take  takes it at once: whoever asks next finds it taken
   * @throws FabricError CF_MODEL_OUT_OF_MEMORY when there will be none, CF_WORKER_STARTING when the others stay busy for too long;
   *         the signal's reason
   */
  async make<T>(member: Member, take: (granted: Granted) => T, signal: AbortSignal): Promise<T> {
    const { clock } = this.#ports
    const endMs = clock.nowMs() + this.#options.loadWaitMs
    for (;;) {
      signal.throwIfAborted()
      const granted = this.#grantedTo(member)
      if (granted !== undefined) return take(granted)
      this.#refuseHopeless(member)
      const victim = this.#victim()
      if (victim !== undefined) await this.#ports.unload(victim)
      else {
        const restMs = endMs - clock.nowMs()
        if (restMs <= 0) throw new FabricError('CF_WORKER_STARTING', { model: member.entry.id, reason: 'no_room' })
        await withinMs(clock, restMs, this.#change.promise, signal)
      }
    }
  }

  #grantedTo(member: Member): Granted | undefined {
    const others = this.#residents().filter((other) => other !== member)
    if (others.length >= this.#options.modelsMax) return undefined
    const { totalBytes, freeBytes } = this.#ports.memory()
    const granted = Math.min(freeBytes, totalBytes - bytesOf(others))
    const need = this.#ports.estimate(member.entry)
    return need <= granted ? { need, granted } : undefined
  }

  /** The one that has been idle for the longest time. */
  #victim(): Member | undefined {
    const idle = this.#residents().filter((other) => !this.#isHeld(other))
    return idle.toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)[0]
  }

  #isHeld(member: Member): boolean {
    const { isBusy, loading, unloading } = member
    return isBusy || loading !== undefined || unloading !== undefined || this.#ports.isPinned(member)
  }

  /** @throws FabricError CF_MODEL_OUT_OF_MEMORY when even those who are only busy would not make room */
  #refuseHopeless(member: Member): void {
    const { modelsMax } = this.#options
    const others = this.#residents().filter((other) => other !== member)
    const pinned = others.filter((other) => this.#ports.isPinned(other))
    const { totalBytes, freeBytes } = this.#ports.memory()
    const room = totalBytes - bytesOf(pinned)
    const need = this.#ports.estimate(member.entry)
    const isAlone = pinned.length === others.length
    if (pinned.length < modelsMax && need <= room && (!isAlone || need <= freeBytes)) return
    const memoryBytesMax = Math.max(0, Math.min(room, isAlone ? freeBytes : room))
    throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { model: member.entry.id, bytes: need, memoryBytesMax, modelsMax })
  }

  #residents(): readonly Member[] {
    return this.#ports.members().filter(({ resident }) => resident !== undefined)
  }
}

function bytesOf(members: readonly Member[]): number {
  return members.reduce((sum, { resident }) => sum + (resident?.memoryBytes ?? 0), 0)
}
