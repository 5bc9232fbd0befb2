/** A strict reader of the Prometheus text format 0.0.4. */

export type Sample = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? ([-+]?[\w.+-]+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"/g
const COMMENT = /^# (?:HELP ([\w:]+) .*|TYPE ([\w:]+) (?:counter|gauge|histogram))$/

/** @throws when a line is malformed, a sample has no type, two samples are the same, or the last line does not end */
export function parseMetrics(text: string): readonly Sample[] {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const types = new Set<string>()
  const seen = new Set<string>()
  const samples: Sample[] = []
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const typed = COMMENT.exec(line)
    if (typed !== null) {
      if (typed[2] !== undefined) types.add(typed[2])
      continue
    }
    const [, name, labelText = '', valueText = ''] = SAMPLE.exec(line) ?? []
    const value = valueText === '+Inf' ? Number.POSITIVE_INFINITY : Number(valueText)
    if (name === undefined || Number.isNaN(value)) throw new Error(`not a sample: ${line}`)
    if (!types.has(name) && !types.has(name.replace(/_(?:bucket|sum|count)$/, ''))) throw new Error(`no type: ${line}`)
    const identity = line.slice(0, line.lastIndexOf(' '))
    if (seen.has(identity)) throw new Error(`twice: ${line}`)
    seen.add(identity)
    const labels = Object.fromEntries([...labelText.matchAll(LABEL)].map(([, key = '', label = '']) => [key, label]))
    samples.push({ name, labels, value })
  }
  return samples
}
