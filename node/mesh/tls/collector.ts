/** A body of an announced size as it comes, held in its call's purse. */
import { WireFault } from './frame-parser.ts'
import { Growing } from './growing.ts'
import type { Purse } from './room.ts'

export class Collector {
  readonly #purse: Purse
  readonly #body: Growing

  constructor(byteCount: number, purse: Purse) {
    this.#purse = purse
    this.#body = new Growing(byteCount)
  }

  get isWhole(): boolean {
    return this.#body.missing === 0
  }

  /** @throws WireFault when it is more than was announced, or than there is room for */
  push(chunk: Uint8Array): void {
    if (chunk.length > this.#body.missing) throw new WireFault('body_too_large')
    if (!this.#purse.hold(chunk.length)) throw new WireFault('too_many_bytes')
    this.#body.push(chunk)
  }

  bytes(): Uint8Array {
    return this.#body.bytes()
  }
}
