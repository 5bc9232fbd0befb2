/** Decimal numerals of the whole numbers in a range, as an expression: digit by digit, without listing them. */

/** Longer numerals are no safe integers. */
const DIGITS_MAX = 16

/**
 * @param min, max  whole numbers, either may be infinite, min <= max
 * @returns         an expression that matches exactly the numerals of min..max, without leading zeros or "-0"
 */
export function integerRange(min: number, max: number): string {
  const parts: string[] = []
  if (min < 0) {
    const least = max < 0 ? -max : 1
    parts.push(`"-" ( ${naturalRange(least, -min)} )`)
  }
  if (max >= 0) parts.push(naturalRange(Math.max(0, min), max))
  return parts.join(' | ')
}

function naturalRange(min: number, max: number): string {
  const low = String(min)
  const high = Number.isFinite(max) ? String(max) : '9'.repeat(DIGITS_MAX)
  const parts: string[] = []
  for (let length = low.length; length <= high.length; length++) {
    const from = length === low.length ? low : `1${'0'.repeat(length - 1)}`
    const to = length === high.length ? high : '9'.repeat(length)
    parts.push(between(from, to))
  }
  return parts.join(' | ')
}

/** Numerals of one length. */
function between(from: string, to: string): string {
  if (from === to) return `"${from}"`
  if (from === '') return ''
  const [first, last] = [from.charAt(0), to.charAt(0)]
  if (first === last) return `"${first}" ( ${between(from.slice(1), to.slice(1))} )`
  const rest = from.length - 1
  if (rest === 0) return `[${first}-${last}]`
  const parts: string[] = []
  const startsLow = /^0*$/.test(from.slice(1))
  const endsHigh = /^9*$/.test(to.slice(1))
  if (!startsLow) parts.push(`"${first}" ( ${between(from.slice(1), '9'.repeat(rest))} )`)
  const [low, high] = [Number(first) + (startsLow ? 0 : 1), Number(last) - (endsHigh ? 0 : 1)]
  if (low <= high) parts.push(`[${low}-${high}] [0-9]{${rest}}`)
  if (!endsHigh) parts.push(`"${last}" ( ${between('0'.repeat(rest), to.slice(1))} )`)
  return parts.join(' | ')
}
