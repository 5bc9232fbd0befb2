/** Strings of a named form. @see JSON Schema 2020-12, validation, section 7.3; RFC 3339; RFC 4122 */

const DAY_TO_28 = '( "0" [1-9] | "1" [0-9] | "2" [0-8] )'
const TO_30 = `( "0" [469] | "11" ) "-" ( ${DAY_TO_28} | "29" | "30" )`
const TO_31 = `( "0" [13578] | "1" [02] ) "-" ( ${DAY_TO_28} | "29" | "3" [01] )`
const HOUR = '( [01] [0-9] | "2" [0-3] )'
const SIXTY = '[0-5] [0-9]'
const HEX = '[0-9a-fA-F]'
const BYTE = '( "25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9] )'
// No 29 February: whether a year has one is more than a short grammar can tell.
const DATE = `[0-9]{4} "-" ( ${TO_31} | ${TO_30} | "02-" ${DAY_TO_28} )`
const TIME = `${HOUR} ":" ${SIXTY} ":" ${SIXTY} ( "." [0-9]{1,9} )? ( "Z" | [+-] ${HOUR} ":" ${SIXTY} )`

const FORMATS: ReadonlyMap<unknown, string> = new Map([
  ['date', DATE],
  ['time', TIME],
  ['date-time', `${DATE} "T" ${TIME}`],
  ['uuid', [8, 4, 4, 4, 12].map((count) => `${HEX}{${count}}`).join(' "-" ')],
  ['ipv4', [BYTE, BYTE, BYTE, BYTE].join(' "." ')],
])

/** @returns an expression, or undefined for a form that is not known */
export function formatOf(format: unknown): string | undefined {
  return FORMATS.get(format)
}
