/**
 * When cheating pays: expected values per replica, in units of its price, and the audits or bonds that make honesty the better choice.
 *
 * The break-even form is that of proof of sampling (arXiv 2405.00295) and its relatives: gain against the chance of being found times
 * what is lost then.
 *
 * @see docs/VERIFICATION.md
 */

export type Terms = {
  /** What a replica is paid; the unit of everything else. */
  readonly price: number
  /** What an honest answer costs its worker. */
  readonly honestCost: number
  /** What a cheat saves of that. */
  readonly saving: number
  /** Chance that an output is audited. */
  readonly auditRate: number
  /** Chance that an audit finds the cheat. */
  readonly power: number
  /** Chance that an honest output is failed for good. */
  readonly falseFail: number
  /** Taken from the worker's earnings when it is found. */
  readonly slash: number
  /** What else it loses then: the value of its standing. */
  readonly franchise: number
}

export function honestValue({ price, honestCost, auditRate, falseFail, slash }: Terms): number {
  return price * (1 - auditRate * falseFail) - honestCost - auditRate * falseFail * slash
}

export function cheatValue({ price, honestCost, saving, auditRate, power, slash, franchise }: Terms): number {
  return price * (1 - auditRate * power) - (honestCost - saving) - auditRate * power * (slash + franchise)
}

/** The audit rate at which a cheat gains nothing; above 1: no rate is enough. */
export function breakEvenRate({ price, saving, power, falseFail, slash, franchise }: Omit<Terms, 'auditRate'>): number {
  return saving / ((power - falseFail) * (price + slash) + power * franchise)
}

/** The slash that deters at a given audit rate, for a worker with nothing else to lose. */
export function slashNeeded({
  price,
  saving,
  auditRate,
  power,
  falseFail,
}: Omit<Terms, 'slash' | 'franchise'>): number {
  return Math.max(0, saving / (auditRate * (power - falseFail)) - price)
}

export type Overhead = {
  readonly auditRate: number
  /** Auditors of an output when all of them are asked. */
  readonly auditors: number
  /** Cost of one audit in units of one honest generation. */
  readonly auditCost: number
  /** Share of audits that are shown to the others too: by lot or by a doubt of the first. */
  readonly furtherShare: number
  /** Replicas that share an output, so that one audit covers them. */
  readonly classSize: number
}

/** What audits cost a swarm, in units of what all replicas cost: one auditor first, the others only where they are needed. */
export function auditOverhead({ auditRate, auditors, auditCost, furtherShare, classSize }: Overhead): number {
  const asked = 1 + furtherShare * (auditors - 1)
  // A class is audited when the lot of any member falls on it.
  const classRate = 1 - (1 - auditRate) ** classSize
  return (classRate * asked * auditCost) / classSize
}

/**
 * Chance that at least `needed` of `size` members drawn independently are corrupt.
 *
 * @param share  of the swarm that is
 */
export function corruptionChance(size: number, needed: number, share: number): number {
  let [chance, ways] = [0, 1]
  for (let corrupt = 0; corrupt <= size; corrupt += 1) {
    if (corrupt >= needed) chance += ways * share ** corrupt * (1 - share) ** (size - corrupt)
    ways = (ways * (size - corrupt)) / (corrupt + 1)
  }
  return chance
}
