/** The probes under way: first the peer itself is asked, then helpers ask it; one answer from anybody is enough. */
import type { PeerId } from '../ids.ts'

/** Whom a probe looks for; `isCheck`: it is the last one before a verdict. */
export type Sought = { readonly peer: PeerId; readonly incarnation: bigint; isCheck: boolean }

export type Probe = Sought & {
  readonly id: number
  readonly startMs: number
  readonly directEndMs: number
  readonly endMs: number
  directFailed: boolean
  helpersAsked: number
  helpersAnswered: number
  /** Of those, they could not reach it either, but are there themselves. */
  helpersHeard: number
  areHelpersAsked: boolean
}

export class Probes {
  readonly #probes = new Map<number, Probe>()
  #lastId = 0

  get count(): number {
    return this.#probes.size
  }

  start(sought: Sought, nowMs: number, directMs: number, endMs: number): Probe {
    this.#lastId += 1
    const probe = {
      ...sought,
      id: this.#lastId,
      startMs: nowMs,
      directEndMs: nowMs + directMs,
      endMs: nowMs + endMs,
      directFailed: false,
      helpersAsked: 0,
      helpersAnswered: 0,
      helpersHeard: 0,
      areHelpersAsked: false,
    }
    this.#probes.set(probe.id, probe)
    return probe
  }

  get(id: number): Probe | undefined {
    return this.#probes.get(id)
  }

  of(peer: PeerId): Probe | undefined {
    for (const probe of this.#probes.values()) if (probe.peer === peer) return probe
    return undefined
  }

  end(probe: Probe): void {
    this.#probes.delete(probe.id)
  }

  /** Without a verdict: this node stood still and may have missed every answer. */
  forgetAll(): void {
    this.#probes.clear()
  }

  all(): readonly Probe[] {
    return this.#probes.size === 0 ? NONE : [...this.#probes.values()]
  }
}

const NONE: readonly Probe[] = []

/** Nobody is left to hear from, or the time is up. */
export function isOver(probe: Probe, nowMs: number): boolean {
  if (nowMs >= probe.endMs) return true
  return probe.directFailed && probe.areHelpersAsked && probe.helpersAnswered === probe.helpersAsked
}
