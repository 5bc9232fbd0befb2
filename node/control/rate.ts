/** Requests a minute for each key: a token bucket (ITU-T I.371, "generic cell rate") with the headers that OpenAI's API has made customary. */
import { FabricError } from '../../core/errors.ts'
import type { Caller } from './caller.ts'

type Bucket = { tokens: number; atNs: bigint }
export type RateAnswer = {
  readonly headers: Readonly<Record<string, string>>
  readonly refusal: FabricError | undefined
}

const MINUTE_MS = 60_000
const NS_PER_MS = 1_000_000
/** More than there can be keys; beyond it those that have rested longest are forgotten, and a forgotten bucket is a full one. */
const BUCKET_COUNT_MAX = 2_048
const NO_LIMIT: RateAnswer = { headers: {}, refusal: undefined }

export class RateBuckets {
  /** By key, the one that rested longest first. */
  readonly #buckets = new Map<string, Bucket>()

  get count(): number {
    return this.#buckets.size
  }

  /** Takes a token, or says when there is one. @param nowNs  of a clock that never goes back */
  take({ id, limits }: Caller, nowNs: bigint): RateAnswer {
    const { ratePerMinute, burst } = limits
    if (ratePerMinute === null) return NO_LIMIT
    const sizeTokens = Math.max(1, burst ?? ratePerMinute)
    const msPerToken = MINUTE_MS / ratePerMinute
    const bucket = this.#refilled(id, sizeTokens, msPerToken, nowNs)
    const isAllowed = bucket.tokens >= 1
    if (isAllowed) bucket.tokens -= 1
    const retryMs = (1 - bucket.tokens) * msPerToken
    return {
      headers: {
        'x-ratelimit-limit-requests': String(ratePerMinute),
        'x-ratelimit-remaining-requests': String(Math.floor(bucket.tokens)),
        'x-ratelimit-reset-requests': durationText((sizeTokens - bucket.tokens) * msPerToken),
      },
      refusal: isAllowed
        ? undefined
        : new FabricError('CF_CONTROL_RATE_LIMITED', { retryAfterSeconds: Math.max(1, Math.ceil(retryMs / 1000)) }),
    }
  }

  #refilled(id: string, sizeTokens: number, msPerToken: number, nowNs: bigint): Bucket {
    const known = this.#buckets.get(id)
    const elapsedMs = known === undefined ? 0 : Math.max(0, Number(nowNs - known.atNs) / NS_PER_MS)
    const tokens = known === undefined ? sizeTokens : Math.min(sizeTokens, known.tokens + elapsedMs / msPerToken)
    const bucket = { tokens, atNs: nowNs }
    this.#buckets.delete(id)
    this.#buckets.set(id, bucket)
    if (this.#buckets.size > BUCKET_COUNT_MAX) {
      const [oldest] = this.#buckets.keys()
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    return bucket
  }
}

/** As OpenAI writes durations: `0s`, `120ms`, `8.64s`, `6m0s`. */
export function durationText(ms: number): string {
  const whole = Math.ceil(ms)
  if (whole === 0) return '0s'
  if (whole < 1000) return `${whole}ms`
  if (whole < MINUTE_MS) return `${whole / 1000}s`
  const seconds = Math.ceil(whole / 1000)
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
