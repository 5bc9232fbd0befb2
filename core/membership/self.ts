/** The version of a node's own record: when to sign the next one, and under which number. */
import { isGoodbye, LAST_SEQUENCE, newer, type RecordVersion } from '../roster/record.ts'
import type { SwimOptions } from './options.ts'

export class SelfVersion {
  readonly #options: SwimOptions
  #version: RecordVersion | undefined
  /** A version under this node's key that this node does not know to have signed: it lost its memory of it. */
  #outdone: RecordVersion | undefined
  #isDirty = true
  #isBlamed = false
  #signedMs = Number.NEGATIVE_INFINITY
  #refutedMs = Number.NEGATIVE_INFINITY

  constructor(options: SwimOptions) {
    this.#options = options
  }

  announce(): void {
    this.#isDirty = true
  }

  /** @returns true when that is said of this very incarnation */
  blamed(incarnation: bigint): boolean {
    if (this.#version === undefined || this.#version.incarnation !== incarnation || isGoodbye(this.#version))
      return false
    this.#isBlamed = true
    return true
  }

  outdone(version: RecordVersion): void {
    const known = this.#outdone ?? this.#version
    if (known === undefined || newer(version, known)) this.#outdone = version
  }

  /** The version to sign now, if any. */
  due(nowMs: number, wallMs: number): RecordVersion | undefined {
    const wall = BigInt(Math.floor(wallMs))
    const version = this.#version
    if (version === undefined) return { incarnation: max(wall, this.#above()), sequence: 0n }
    if (isGoodbye(version)) return undefined
    const answer = this.answer(nowMs)
    if (answer !== undefined) return answer
    const { announceMs, renewMs } = this.#options
    if (wall - version.incarnation > BigInt(renewMs)) return { incarnation: wall, sequence: 0n }
    if (!this.#isDirty || nowMs - this.#signedMs < announceMs) return undefined
    return { incarnation: version.incarnation, sequence: version.sequence + 1n }
  }

  /** The version that refutes what has been heard, if that is due. */
  answer(nowMs: number): RecordVersion | undefined {
    const version = this.#version
    if (version === undefined || isGoodbye(version) || !(this.#isBlamed || this.#isOutdone(version))) return undefined
    if (nowMs - this.#refutedMs < this.#options.refuteMs) return undefined
    this.#refutedMs = nowMs
    return { incarnation: max(version.incarnation + 1n, this.#above()), sequence: 0n }
  }

  goodbye(): RecordVersion {
    return { incarnation: max(this.#version?.incarnation ?? 0n, this.#above()), sequence: LAST_SEQUENCE }
  }

  signed(version: RecordVersion, nowMs: number): void {
    this.#version = { incarnation: version.incarnation, sequence: version.sequence }
    this.#signedMs = nowMs
    this.#isDirty = false
    this.#isBlamed = false
    if (!this.#isOutdone(version)) this.#outdone = undefined
  }

  #isOutdone(version: RecordVersion): boolean {
    return this.#outdone !== undefined && newer(this.#outdone, version)
  }

  #above(): bigint {
    return this.#outdone === undefined ? 0n : this.#outdone.incarnation + 1n
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
