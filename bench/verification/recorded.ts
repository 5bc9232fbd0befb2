/** What `npm run bench:engine -- --only audit` has measured on a model of a real one's shape. */
import { readFileSync } from 'node:fs'

const FILE = new URL('../results/engine-audit.json', import.meta.url)

/** @returns elapsed time of an audit over that of the generation, 125 million parameters, 256 tokens after 16; the median */
export function auditRatioOf125m(): number {
  const { rows } = JSON.parse(readFileSync(FILE, 'utf8')) as { rows: { compared: { median: number } }[] }
  const ratio = rows[0]?.compared.median
  if (ratio === undefined) throw new Error('bench/results/engine-audit.json has no rows')
  return ratio
}
