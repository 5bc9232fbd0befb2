/** The times and counts of failure detection and gossip, and what follows from them. */

export type SwimOptions = {
  /** How often the machine hears the time. */
  readonly tickMs: number
  /** A tick that comes this much later than it should says that this node stood still, not that others did. */
  readonly stallMs: number
  /** One probe starts this often, to the next peer of a shuffled round. */
  readonly probeMs: number
  /** Unanswered for this long, helpers are asked to probe. */
  readonly directMs: number
  /** Unanswered for this long, by anybody, a probe has failed. */
  readonly probeEndMs: number
  readonly probeCountMax: number
  readonly helperCount: number
  /** A suspicion lasts between these, the shorter the more accusers it has. */
  readonly suspicionMinMs: number
  readonly suspicionMaxMs: number
  /** Accusers besides the first that make a suspicion as short as it gets. */
  readonly confirmationCount: number
  readonly healthMax: number
  readonly gossipMs: number
  readonly gossipPeerCount: number
  /** Of the changes in one message. */
  readonly gossipBytesMax: number
  /** Changes that wait to be passed on. */
  readonly rumourCountMax: number
  /** Two nodes compare what they know this often: what gossip has missed waits no longer. */
  readonly syncMs: number
  /** One peer that counts as dead hears of it this often: that is how the halves of a partition find each other again. */
  readonly deadPingMs: number
  /** Between two records of this node's own making. */
  readonly announceMs: number
  /** Between two answers to accusations. */
  readonly refuteMs: number
  /** A record gets a new incarnation after this. */
  readonly renewMs: number
  /** Records of an older incarnation are refused, so that whoever is gone need not be remembered for longer. */
  readonly recordTtlMs: number
  readonly recordAheadMs: number
  readonly peerCountMax: number
}

/** For machines whose messages take well under 100 ms. */
export const LAN: SwimOptions = {
  tickMs: 100,
  stallMs: 400,
  probeMs: 500,
  directMs: 500,
  probeEndMs: 1_200,
  probeCountMax: 8,
  helperCount: 3,
  suspicionMinMs: 3_000,
  suspicionMaxMs: 9_000,
  confirmationCount: 3,
  healthMax: 8,
  gossipMs: 300,
  gossipPeerCount: 3,
  gossipBytesMax: 6_144,
  rumourCountMax: 1_024,
  syncMs: 2_000,
  deadPingMs: 1_000,
  announceMs: 5_000,
  refuteMs: 1_000,
  renewMs: 1_800_000,
  recordTtlMs: 3_600_000,
  recordAheadMs: 30_000,
  peerCountMax: 4_096,
}

const SMALL_SWARM = 32

/**
 * How often one node passes an accusation on: as memberlist does, a multiple of the rounds that an epidemic takes.
 *
 * Why a record is told half as often: it is five times as large, and whom it misses finds it by comparing digests.
 */
export function tellCounts(liveCount: number): { readonly accusation: number; readonly word: number } {
  const digits = Math.max(1, Math.ceil(Math.log10(liveCount + 1)))
  return { accusation: 4 * digits, word: 1 + 2 * digits }
}

/**
 * How long a suspicion lasts before it becomes a verdict (Lifeguard: logarithmic in the accusers, stretched by bad local health).
 *
 * @param accusers    everybody who says so, this node included; at least one
 * @param multiplier  1 in good health
 */
export function suspicionMs(o: SwimOptions, liveCount: number, accusers: number, multiplier: number): number {
  const distanceMs = 500 * Math.max(0, Math.log10(liveCount / SMALL_SWARM))
  const [min, max] = [o.suspicionMinMs + distanceMs, o.suspicionMaxMs + distanceMs]
  const wanted = Math.min(o.confirmationCount, liveCount - 2)
  const confirmed = wanted < 1 ? 1 : Math.min(1, Math.log(Math.max(1, accusers)) / Math.log(wanted + 1))
  return (max - (max - min) * confirmed) * multiplier
}
