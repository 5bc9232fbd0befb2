/** Amounts as people write them: decimal credits with at most six places; inside, whole micro-credits. */
import { LIMITS } from '../limits.ts'

const MICRO_PLACES = 6
const MICRO_PER_CREDIT = 1_000_000n
const DECIMAL = /^(-?)(0|[1-9][0-9]{0,10})(?:\.([0-9]{1,6}))?$/

/**
 * Reads a decimal amount of credits.
 *
 * @param text  at most eleven digits before the point and six after it; no exponent, no plus sign, no leading zeros
 * @returns     micro-credits, or undefined when the text is anything else or out of bounds
 */
export function parseAmount(text: unknown): bigint | undefined {
  const match = typeof text === 'string' ? DECIMAL.exec(text) : null
  if (match === null) return undefined
  const [, sign = '', whole = '0', fraction = ''] = match
  const micro = BigInt(whole) * MICRO_PER_CREDIT + BigInt(fraction.padEnd(MICRO_PLACES, '0'))
  if (micro > LIMITS.amountMicroMax) return undefined
  return sign === '-' ? -micro : micro
}

/** The shortest decimal that reads back as the same amount: `1.5`, `0`, `0.000001`, `-2`. */
export function formatAmount(micro: bigint): string {
  const size = micro < 0n ? -micro : micro
  const fraction = (size % MICRO_PER_CREDIT).toString().padStart(MICRO_PLACES, '0').replace(/0+$/, '')
  return `${micro < 0n ? '-' : ''}${size / MICRO_PER_CREDIT}${fraction === '' ? '' : `.${fraction}`}`
}
