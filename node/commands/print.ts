/** Plain text for people: columns, boxes, times. Control characters of what others wrote are never passed to the terminal. */

/** Control characters but tab and newline, and bidirectional overrides: a model's answer must not move the cursor or reorder a line. */
const CONTROLS = /[^\P{Cc}\t\n]|[\u202a-\u202e\u2066-\u2069]/gu

export function plainText(text: string): string {
  return text.replace(CONTROLS, '�')
}

/** Left-aligned columns, two spaces apart. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const [index, cell] of rows.flatMap((row) => [...row.entries()])) {
    widths[index] = Math.max(widths[index] ?? 0, cell.length)
  }
  const line = (row: readonly string[]): string => {
    const cells = row.map((cell, index) => plainText(cell).padEnd(widths[index] ?? 0))
    return `${cells.join('  ').trimEnd()}\n`
  }
  return rows.map(line).join('')
}

/** A titled block of `name  value` lines. */
export function section(title: string, facts: readonly (readonly [name: string, value: string])[]): string {
  return `${title}\n${columns(facts.map(([name, value]) => [`  ${name}`, value]))}`
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** `cf1abcdef…` is enough to tell two peers apart in a table. */
export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, 12)}…` : id
}

export function seconds(ns: bigint): string {
  return `${(Number(ns / 1_000_000n) / 1000).toFixed(2)} s`
}
