/**
 * The date that templates are told.
 *
 * Why not today's: a prompt is rendered by every worker and again by who audits it, on other machines and other days, and all must
 * come to the same tokens. The day is the one that Llama 3's template names where it is told none.
 *
 * @see Python documentation, strftime() format codes
 */
const CODES: ReadonlyMap<string, string> = new Map([
  ...([
    ['Y', '2024'],
    ['y', '24'],
    ['m', '07'],
    ['b', 'Jul'],
    ['B', 'July'],
    ['d', '26'],
    ['j', '208'],
    ['a', 'Fri'],
    ['A', 'Friday'],
  ] as const),
  ...([
    ['H', '00'],
    ['I', '12'],
    ['M', '00'],
    ['S', '00'],
    ['p', 'AM'],
    ['%', '%'],
  ] as const),
])

/** 26 July 2024, 00:00, as `format` asks for it. */
export function strftime(format: unknown): string {
  return String(format).replace(/%-?([a-zA-Z%])/g, (asked, code: string) => {
    const found = CODES.get(code)
    return found === undefined ? asked : asked[1] === '-' ? found.replace(/^0(?=.)/, '') : found
  })
}
