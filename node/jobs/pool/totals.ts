/** What a model has computed since the node started, over all the hosts that it has had: each of them counts from nothing. */
import type { BackendMetrics } from '../../../models/backend.ts'

export type EngineCounts = Pick<
  BackendMetrics,
  'steps' | 'stepMs' | 'tokensDecoded' | 'tokensPrefilled' | 'tokensFromCache'
>

const NONE: EngineCounts = { steps: 0, stepMs: 0, tokensDecoded: 0, tokensPrefilled: 0, tokensFromCache: 0 }

export class EngineTotals {
  #seen: EngineCounts = NONE
  #sum: EngineCounts = NONE

  /** Takes a host's figures; what it counts after it was asked for the last time is lost with it. */
  read(metrics: EngineCounts): void {
    // Fewer than before: another host, and all that it has counted is new.
    const isSame = metrics.steps >= this.#seen.steps && metrics.tokensDecoded >= this.#seen.tokensDecoded
    const before = isSame ? this.#seen : NONE
    const grown = (name: keyof EngineCounts): number => this.#sum[name] + Math.max(0, metrics[name] - before[name])
    this.#sum = {
      ...{ steps: grown('steps'), stepMs: grown('stepMs'), tokensDecoded: grown('tokensDecoded') },
      ...{ tokensPrefilled: grown('tokensPrefilled'), tokensFromCache: grown('tokensFromCache') },
    }
    this.#seen = metrics
  }

  get sum(): EngineCounts {
    return this.#sum
  }
}
