/** The probes under way: first the peer itself is asked, then helpers ask it; one answer from anybody is enough. */
import type { PeerId } from '../ids.ts'

export type Probe = {
  readonly id: number
  readonly peer: PeerId
  readonly startMs: number
  readonly directEndMs: number
  readonly endMs: number
  /** The last one before a verdict. */
  isCheck: boolean
  directFailed: boolean
  helpersAsked: number
  helpersAnswered: number
  helpersSilent: number
  areHelpersAsked: boolean
}

export class Probes {
  readonly #probes = new Map<number, Probe>()
  #lastId = 0

  get count(): number {
    return this.#probes.size
  }

  start(peer: PeerId, nowMs: number, directMs: number, endMs: number, isCheck: boolean): Probe {
    this.#lastId += 1
    const probe = {
      id: this.#lastId,
      peer,
      startMs: nowMs,
      directEndMs: nowMs + directMs,
      endMs: nowMs + endMs,
      isCheck,
      directFailed: false,
      helpersAsked: 0,
      helpersAnswered: 0,
      helpersSilent: 0,
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
