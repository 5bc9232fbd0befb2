/** Notices that a text, told piece by piece, has come to one of its stop strings. */

export class StopScanner {
  readonly #stop: readonly string[]
  /** A match may begin this far back, in UTF-16 units. */
  readonly #tailChars: number
  #tail = ''

  constructor(stop: readonly string[]) {
    this.#stop = stop
    this.#tailChars = Math.max(0, ...stop.map((text) => text.length - 1))
  }

  /**
   * Takes the next piece.
   *
   * @returns  whether a stop string ends in it; only the tail of what came before is searched again
   */
  push(piece: string): boolean {
    const text = this.#tail + piece
    this.#tail = this.#tailChars === 0 ? '' : text.slice(-this.#tailChars)
    return this.#stop.some((stop) => text.includes(stop))
  }
}
