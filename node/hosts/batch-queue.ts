/** Hands one generation's batches from the frame reader to the one who iterates; bounded by the generation's own length. */
import type { TokenBatch } from '../../models/backend.ts'

export class BatchQueue {
  readonly #batches: TokenBatch[] = []
  #failure: Error | undefined
  #wake: () => void = () => undefined

  push(batch: TokenBatch): void {
    this.#batches.push(batch)
    this.#wake()
  }

  /** What was pushed before still comes first. */
  fail(error: Error): void {
    this.#failure ??= error
    this.#wake()
  }

  /** @throws what `fail` was given */
  async next(): Promise<TokenBatch> {
    while (true) {
      const batch = this.#batches.shift()
      if (batch !== undefined) return batch
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
