/** Shows a text that comes in pieces up to its first stop string, and holds back what may be the beginning of one. */

export class StopFilter {
  readonly #stop: readonly string[]
  /** Of the longest stop string, UTF-16 units: nothing older than this can still become one. */
  readonly #charsMax: number
  #held = ''
  #isCut = false

  constructor(stop: readonly string[]) {
    this.#stop = stop
    this.#charsMax = Math.max(...stop.map((text) => text.length))
  }

  /** True once a stop string has been found: nothing is shown from there on. */
  get isCut(): boolean {
    return this.#isCut
  }

  /**
   * Takes the next piece.
   *
   * Why a stop string that is complete may have to wait: one that begins before it may still become complete, and then the text ends
   * there, however it was cut into pieces.
   *
   * @returns  the text that may be shown now
   */
  push(piece: string): string {
    if (this.#isCut) return ''
    this.#held += piece
    const match = this.#firstMatch()
    const beginning = this.#firstBeginning()
    if (match <= beginning) return this.#cutAt(match)
    const shown = this.#held.slice(0, beginning)
    this.#held = this.#held.slice(beginning)
    return shown
  }

  /** @returns  what was held back, since nothing more comes that could make it a stop string */
  flush(): string {
    const match = this.#firstMatch()
    if (match < Number.POSITIVE_INFINITY) return this.#cutAt(match)
    const shown = this.#held
    this.#held = ''
    return shown
  }

  #cutAt(at: number): string {
    const shown = this.#held.slice(0, at)
    this.#held = ''
    this.#isCut = true
    return shown
  }

  #firstMatch(): number {
    let first = Number.POSITIVE_INFINITY
    for (const stop of this.#stop) {
      const at = this.#held.indexOf(stop)
      if (at >= 0 && at < first) first = at
    }
    return first
  }

  /** Where the earliest unfinished stop string begins, or the length of what is held when there is none. */
  #firstBeginning(): number {
    const held = this.#held
    for (let at = Math.max(0, held.length - this.#charsMax + 1); at < held.length; at += 1) {
      const tail = held.slice(at)
      if (this.#stop.some((stop) => stop.startsWith(tail))) return at
    }
    return held.length
  }
}
