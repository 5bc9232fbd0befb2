/** Values of settings that people write with units: sizes, times, shares. */

const SIZE = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/
const UNIT_BYTES: Readonly<Record<string, number>> = {
  ...{ B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 },
}
const TIME = /^([0-9]{1,9})(ms|s|m|h|d)$/
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** A month: longer than this is for ever. */
const DURATION_MS_MAX = 31 * 86_400_000
const SHARE = /^[0-9]{1,6}(?:\.[0-9]{1,3})?$/
const SHARE_COUNT_MAX = 16

/** `6GiB`, `800MB`, or bytes; at least one byte. */
export function parseBytes(text: string): number | undefined {
  const [, amount = '', unit = 'B'] = SIZE.exec(text) ?? []
  const bytes = Math.floor(Number(amount) * (UNIT_BYTES[unit] ?? 0))
  return amount !== '' && bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** `90s`, `10m`, `2h`; `0` needs no unit. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0
  const [, amount = '', unit = ''] = TIME.exec(text) ?? []
  const ms = Number(amount) * (UNIT_MS[unit] ?? Number.NaN)
  return amount !== '' && ms <= DURATION_MS_MAX ? ms : undefined
}

/** `3,1`: at least one of them is more than nothing. */
export function shares(text: string): readonly number[] | undefined {
  const parts = text.split(',').map((part) => part.trim())
  if (parts.length > SHARE_COUNT_MAX || !parts.every((part) => SHARE.test(part))) return undefined
  const numbers = parts.map(Number)
  return numbers.some((share) => share > 0) ? numbers : undefined
}

export function yesOrNo(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

/** As `parseDurationMs` reads it, in the largest unit that needs no fraction. */
export function durationText(ms: number): string {
  if (ms === 0) return '0'
  const [unit = 'ms', length = 1] = Object.entries(UNIT_MS).findLast(([, unitMs]) => ms % unitMs === 0) ?? []
  return `${ms / length}${unit}`
}
