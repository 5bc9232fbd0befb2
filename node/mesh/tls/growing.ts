/** Bytes of a known number that come in pieces, in memory that follows what has come and not what was announced. */

const FIRST_BYTES = 1_024

export class Growing {
  readonly #total: number
  #buffer: Uint8Array
  #length = 0

  constructor(total: number) {
    this.#total = total
    this.#buffer = new Uint8Array(Math.min(total, FIRST_BYTES))
  }

  get missing(): number {
    return this.#total - this.#length
  }

  /** Copies, because a piece is part of a larger buffer that it would keep alive. @param piece  at most what is missing */
  push(piece: Uint8Array): void {
    const needed = this.#length + piece.length
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(Math.min(this.#total, Math.max(needed, this.#buffer.length * 2)))
      larger.set(this.#buffer.subarray(0, this.#length))
      this.#buffer = larger
    }
    this.#buffer.set(piece, this.#length)
    this.#length = needed
  }

  bytes(): Uint8Array {
    return this.#buffer
  }
}
