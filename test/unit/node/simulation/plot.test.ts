import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { plotOf } from '../../../../node/simulation/plot.ts'
import { escaped, ticksOf } from '../../../../node/simulation/svg.ts'
import { simulated } from '../../../support/simulation.ts'

const TAG = /<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)(\/?)>/y
const TEXT = /(?:[^<&]|&(?:amp|lt|gt|quot);)+/y

/** Reads the subset of XML that we write. @returns why it is not well formed, or nothing */
function xmlFault(text: string): string | undefined {
  const open: string[] = []
  let [at, roots] = [0, 0]
  const read = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  while (at < text.length) {
    if (read(TEXT) !== null) continue
    const tag = read(TAG)
    if (tag === null) return `at ${at}: ${text.slice(at, at + 40)}`
    const [, closing = '', name = '', attributes = '', empty = ''] = tag
    const names = [...attributes.matchAll(/ ([a-zA-Z0-9-]+)=/g)].map(([, attribute]) => attribute)
    if (new Set(names).size !== names.length) return `an attribute twice in ${name}`
    if (closing === '/') {
      if (open.pop() !== name) return `${name} is closed and was not open`
    } else {
      if (open.length === 0) roots += 1
      if (empty === '') open.push(name)
    }
  }
  return open.length === 0 && roots === 1 ? undefined : `${open.join()} is open at the end, ${roots} roots`
}

const REPORT = simulated({
  ...{ peers: 40, jobs: 40, loss: 0.02, userBudget: 200_000n },
  faults: { crash: 0.1, liar: 0.1, silent: 0.05, busy: 0.05, slow: 0.1 },
})
const SVG = plotOf(REPORT)

test('the picture is well-formed XML, and the reader would notice if it were not', () => {
  assert.is(xmlFault(SVG), undefined)
  for (const wrong of [
    SVG.replace('</g>', ''),
    SVG.replace('<path', '<path d="x"'),
    SVG.replace(' peers,', ' <peers,'),
    `${SVG}<g/>`,
  ])
    assert.ok(xmlFault(wrong) !== undefined)
})

test('every series has one path or one group of bars, and a place in a legend', () => {
  const { earned, outcomes } = REPORT.series
  assert.is(earned.length, 6)
  assert.ok(outcomes.length >= 2)
  for (const { kind } of earned) {
    assert.is(SVG.split(`<path data-series="${kind}"`).length, 2, kind)
    assert.ok(SVG.includes(`>${kind}</text>`), kind)
  }
  for (const { outcome, jobs } of outcomes) {
    const group = new RegExp(`<g data-series="${outcome}"[^>]*>(.*?)</g>`).exec(SVG)?.[1] ?? ''
    assert.is(group.split('<rect').length - 1, jobs.filter((count) => count > 0).length, outcome)
    assert.ok(SVG.includes(`>${outcome.replaceAll('_', ' ')}</text>`), outcome)
  }
  for (const series of ['latency', 'drawn', 'expected'])
    assert.is(SVG.split(`data-series="${series}"`).length, 2, series)
})

test('bars of a series are as high as their counts', () => {
  const drawn = /<g data-series="drawn"[^>]*>(.*?)<\/g>/.exec(SVG)?.[1] ?? ''
  const heights = [...drawn.matchAll(/height="([0-9.]+)"/g)].map(([, height]) => Number(height))
  const counts = REPORT.series.draws.map((group) => group.drawn)
  const scale = Math.max(...heights) / Math.max(...counts)
  assert.is(heights.length, counts.length)
  for (const [place, count] of counts.entries()) assert.ok(Math.abs((heights[place] ?? 0) - count * scale) < 0.2)
})

test('nothing in the picture loads or runs anything', () => {
  assert.not.match(SVG, /<(?:script|image|use|foreignObject|a)\b|\bon[a-z]+=|href|url\(/)
})

test('a simulation in which nothing ends has a picture too', () => {
  const svg = plotOf(simulated({ userBudget: 1n, jobs: 1 }))
  assert.is(xmlFault(svg), undefined)
  assert.not.match(svg, /NaN|Infinity|undefined/)
})

test('text is escaped', () => assert.is(escaped('<a b="c">&'), '&lt;a b=&quot;c&quot;&gt;&amp;'))

test('ticks begin at zero, are round and cover the data', () => {
  assert.equal(ticksOf(10), [0, 2, 4, 6, 8, 10])
  assert.equal(ticksOf(0.11), [0, 0.05, 0.1, 0.15])
  assert.equal(ticksOf(0), [0, 0.2, 0.4, 0.6, 0.8, 1])
})

test.run()
