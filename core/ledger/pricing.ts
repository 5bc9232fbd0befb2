/** What a job costs: one formula for the quote, the hold and the settlement. */
import { LIMITS } from '../limits.ts'
import { REPORTS_MAX } from '../verification/auditing.ts'
import { isAuditable } from '../verification/replayable.ts'

/** Part of the genesis. Amounts are micro-credits. */
export type PriceTable = {
  /** Once per replica. */
  readonly jobMicro: bigint
  /** Per token of prompt and output, whatever the model. */
  readonly tokenMicro: bigint
  /** Per token and 1,000 million parameters, on top. */
  readonly tokenMicroPerGigaParam: bigint
  /** Bonus of a replica in the winning class, per mille of its base. */
  readonly bonusPermille: number
  /** Fee of the validators, per mille of what workers earn. */
  readonly feePermille: number
  /** Earned credit can be spent this much log time after the settlement. */
  readonly vestMs: bigint
  /** Bonus of a replica that witnesses saw reach the job's speed, per mille of its base. */
  readonly speedPermille: number
  /** Pay of a report that counts, per mille of the base of the replica that it is about. */
  readonly reportPermille: number
}

export const DEFAULT_PRICES: PriceTable = {
  jobMicro: 5_000n,
  tokenMicro: 50n,
  tokenMicroPerGigaParam: 100n,
  bonusPermille: 200,
  feePermille: 50,
  vestMs: 0n,
  speedPermille: 200,
  reportPermille: 150,
}

export const PRICE_BOUNDS = { permilleMax: 10_000, factorPermilleMax: 10_000, vestMsMax: 31_536_000_000n } as const
/** The factor of a provider that asks the table's price. */
export const FACTOR_NONE = 1_000

/** What the price of a job depends on; an intent has these fields. */
export type Priced = {
  readonly modelMegaParams: number
  readonly promptTokens: number
  readonly maxTokens: number
  readonly replicas: number
  /** Tokens a second; 0: no speed bonus is offered. */
  readonly speedTarget: number
  /** Of a job that nobody can replay nobody reports. */
  readonly task: string
  readonly sampling: { readonly kind: string }
}

export type ReplicaSize = {
  readonly megaParams: number
  readonly promptTokens: number
  readonly outputTokens: number
  /** Provider factor in thousandths; 1,000 is the table's price. */
  readonly factorPermille: number
}

export type PriceQuote = {
  readonly base: bigint
  readonly bonus: bigint
  readonly speed: bigint
  readonly audits: bigint
  readonly fee: bigint
  readonly hold: bigint
}

/**
 * The base of one replica: grows with each of its arguments, so a hold at the full length covers every shorter output.
 *
 * @returns  micro-credits, rounded up once at the end
 * @see      docs/PROTOCOL.md#pricing
 */
export function replicaPrice(prices: PriceTable, size: ReplicaSize): bigint {
  const tokens = BigInt(size.promptTokens) + BigInt(size.outputTokens)
  // In thousandths of a micro-credit: a model of 3 million parameters would else cost nothing per token.
  const tokenMilli = prices.tokenMicro * 1_000n + prices.tokenMicroPerGigaParam * BigInt(size.megaParams)
  const milli = (prices.jobMicro * 1_000n + tokens * tokenMilli) * BigInt(size.factorPermille)
  return (milli + 999_999n) / 1_000_000n
}

/** Per mille, rounded down: what is not paid as bonus or fee goes back to the user. */
export function permilleOf(amount: bigint, permille: number): bigint {
  return (amount * BigInt(permille)) / 1_000n
}

/**
 * Prices a job at its full length, with every replica earning base, bonus and what is offered for speed, and reported on by as many as may
 * be: exactly what its hold reserves.
 *
 * @param factorPermille  the highest factor among the eligible providers
 */
export function quote(prices: PriceTable, job: Priced, factorPermille: number = FACTOR_NONE): PriceQuote {
  const size = {
    megaParams: job.modelMegaParams,
    promptTokens: job.promptTokens,
    outputTokens: job.maxTokens,
    factorPermille,
  }
  const one = replicaPrice(prices, size)
  const base = one * BigInt(job.replicas)
  const bonus = permilleOf(one, prices.bonusPermille) * BigInt(job.replicas)
  const speed = speedBonus(prices, job, one) * BigInt(job.replicas)
  const audits = auditPay(prices, job, one) * BigInt(REPORTS_MAX * job.replicas)
  const fee = permilleOf(base + bonus + speed, prices.feePermille)
  return { base, bonus, speed, audits, fee, hold: base + bonus + speed + audits + fee }
}

/** Of one replica, when it was as fast as its job wished. @param base  of that replica */
export function speedBonus(prices: PriceTable, { speedTarget }: Pick<Priced, 'speedTarget'>, base: bigint): bigint {
  return speedTarget > 0 ? permilleOf(base, prices.speedPermille) : 0n
}

/** Of one report. @param base  of the replica that it is about, whatever became of that */
export function auditPay(prices: PriceTable, job: Pick<Priced, 'task' | 'sampling'>, base: bigint): bigint {
  return isAuditable(job) ? permilleOf(base, prices.reportPermille) : 0n
}

/** Whether every field is inside the bounds that keep all sums exact and every hold within one amount. */
export function pricesInBounds(prices: PriceTable): boolean {
  const amounts = [prices.jobMicro, prices.tokenMicro, prices.tokenMicroPerGigaParam]
  return (
    amounts.every((amount) => amount >= 0n && amount <= LIMITS.amountMicroMax) &&
    prices.bonusPermille <= PRICE_BOUNDS.permilleMax &&
    prices.feePermille <= PRICE_BOUNDS.permilleMax &&
    prices.speedPermille <= PRICE_BOUNDS.permilleMax &&
    prices.reportPermille <= PRICE_BOUNDS.permilleMax &&
    prices.vestMs >= 0n &&
    prices.vestMs <= PRICE_BOUNDS.vestMsMax
  )
}
