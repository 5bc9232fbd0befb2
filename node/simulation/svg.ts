/** Writes SVG 1.1 as text: elements, escaped, and the axes that every chart has. */

export type Attributes = Readonly<Record<string, string | number>>
export type Box = { readonly left: number; readonly top: number; readonly width: number; readonly height: number }
/** From data to pixels. */
export type Scale = (value: number) => number

export const INK = '#1f2937'
export const FAINT = '#6b7280'
const GRID = '#e5e7eb'
const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const TICKS_WANTED = 5
const DECIMALS_MAX = 6

export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => ESCAPES[sign] ?? sign)
}

export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(pixels(value))}"`)
  const inside = children.join('')
  return inside === '' ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${inside}</${name}>`
}

export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', { x, y, fill: INK, 'font-size': 12, ...attributes }, escaped(text))
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes = {}): string {
  return element('line', { x1, y1, x2, y2, stroke: GRID, ...attributes })
}

/** One decimal of a pixel is more than anyone sees. */
function pixels(value: string | number): string {
  return typeof value === 'string' ? value : String(Math.round(value * 10) / 10)
}

export function scaleOf(dataMax: number, from: number, to: number): Scale {
  return (value) => from + (dataMax === 0 ? 0 : value / dataMax) * (to - from)
}

/** From zero in steps of 1, 2 or 5 times a power of ten, up to the first one that covers the data. */
export function ticksOf(dataMax: number): readonly number[] {
  const rough = (dataMax > 0 ? dataMax : 1) / TICKS_WANTED
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power
  const count = Math.ceil((dataMax > 0 ? dataMax : 1) / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, place) => Number((place * step).toFixed(DECIMALS_MAX)))
}

export type Axes = {
  readonly title: string
  readonly x: { readonly label: string; readonly max: number; readonly ticks: boolean }
  readonly y: { readonly label: string; readonly max: number }
}

/** Frame, grid, ticks and names of one chart; gives the scales of its data. */
export function axes(
  box: Box,
  { title, x, y }: Axes,
): { readonly drawn: string; readonly sx: Scale; readonly sy: Scale } {
  const { left, top, width, height } = box
  const [bottom, right] = [top + height, left + width]
  const yTicks = ticksOf(y.max)
  const sy = scaleOf(yTicks.at(-1) ?? 1, bottom, top)
  const sx = scaleOf(x.max, left, right)
  const small = { 'font-size': 11, fill: FAINT }
  const rows = yTicks.map((tick) => {
    const text = label(left - 8, sy(tick) + 4, tick.toLocaleString('en-US', { maximumFractionDigits: DECIMALS_MAX }), {
      ...small,
      'text-anchor': 'end',
    })
    return line(left, sy(tick), right, sy(tick)) + text
  })
  const xTicks = x.ticks ? ticksOf(x.max).filter((tick) => tick <= x.max) : []
  const columns = xTicks.map((tick) => {
    const text = label(sx(tick), bottom + 18, tick.toLocaleString('en-US'), { ...small, 'text-anchor': 'middle' })
    return line(sx(tick), bottom, sx(tick), bottom + 4, { stroke: FAINT }) + text
  })
  const names = [
    label(left, top - 54, title, { 'font-size': 15, 'font-weight': 'bold' }),
    label(left + width / 2, bottom + 38, x.label, { 'text-anchor': 'middle', fill: FAINT }),
    label(0, 0, y.label, {
      transform: `translate(${left - 52} ${top + height / 2}) rotate(-90)`,
      'text-anchor': 'middle',
      fill: FAINT,
    }),
    line(left, bottom, right, bottom, { stroke: FAINT }),
  ]
  return { drawn: [...rows, ...columns, ...names].join(''), sx, sy }
}

export type LegendItem = { readonly name: string; readonly colour: string; readonly line?: boolean }

/** Names above a chart, from left to right; what does not fit the width is in the next row, of which there is room for three. */
export function legend(box: Box, items: readonly LegendItem[]): string {
  let [x, y] = [box.left, box.top - 34]
  const drawn: string[] = []
  for (const { name, colour, line: asLine } of items) {
    const width = 24 + name.length * 5.9
    if (x > box.left && x + width > box.left + box.width) [x, y] = [box.left, y + 15]
    drawn.push(
      asLine === true
        ? line(x, y - 4, x + 14, y - 4, { stroke: colour, 'stroke-width': 3 })
        : element('rect', { x, y: y - 10, width: 11, height: 11, fill: colour }),
      label(x + 18, y, name),
    )
    x += width + 8
  }
  return drawn.join('')
}
