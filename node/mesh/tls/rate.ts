/** Token buckets by name, and the address blocks that strangers are counted by. */
import { isIPv6 } from 'node:net'
import type { Clock } from '../../runtime/ports.ts'

type Bucket = { tokens: number; atNs: bigint }

/** Names that are remembered at once; the longest unused goes, and starts with a full bucket when it comes back. */
const NAMES_MAX = 4_096
const NS_PER_SECOND = 1_000_000_000

export class Rates {
  readonly #perSecond: number
  readonly #burst: number
  readonly #clock: Clock
  readonly #buckets = new Map<string, Bucket>()

  constructor(perSecond: number, burst: number, clock: Clock) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#clock = clock
  }

  /** @returns false when the name has used up what it may */
  take(name: string): boolean {
    const bucket = this.#filled(name)
    const allowed = bucket.tokens >= 1
    if (allowed) bucket.tokens -= 1
    return allowed
  }

  #filled(name: string): Bucket {
    const nowNs = this.#clock.monotonicNs()
    const bucket = this.#buckets.get(name) ?? { tokens: this.#burst, atNs: nowNs }
    const seconds = Number(nowNs - bucket.atNs) / NS_PER_SECOND
    bucket.tokens = Math.min(this.#burst, bucket.tokens + seconds * this.#perSecond)
    bucket.atNs = nowNs
    keepNewest(this.#buckets, name, bucket, NAMES_MAX)
    return bucket
  }
}

/** Sets an entry as the newest, and drops the oldest ones over the bound. */
export function keepNewest<K, V>(map: Map<K, V>, key: K, value: V, countMax: number): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= countMax) return
    map.delete(oldest)
  }
}

/** The /24 of an IPv4 address or the /48 of an IPv6 address: what one party commonly holds. */
export function addressBlock(address: string | undefined): string {
  if (address === undefined) return 'none'
  const mapped = /^::ffff:(\d+\.\d+\.\d+)\.\d+$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!isIPv6(address)) return address.split('.').slice(0, 3).join('.')
  return groupsOf(address).slice(0, 3).join(':')
}

/** The eight groups of an IPv6 address without a zone, `::` written out. */
function groupsOf(address: string): readonly string[] {
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const [before, after] = [head === '' ? [] : head.split(':'), tail ? tail.split(':') : []]
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  return [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
}
