/** A range of seeds in one process, for main.ts: prints one line of JSON. Stops at the first violation. */
import { parseArgs } from 'node:util'
import { type BugName, isBugName } from './bugs.ts'
import { type Counts, Coverage } from './coverage.ts'
import { runSeed, type SeedResult } from './run-seed.ts'

export type RangeResult = {
  readonly from: number
  readonly count: number
  readonly ms: number
  readonly counts: Counts
  /** Hash over the traces of all seeds. */
  readonly hash: string
  readonly violation: Pick<SeedResult, 'seed' | 'violation' | 'trace'> | undefined
}

function runRange(from: number, count: number, bug: BugName | undefined, keepsTrace: boolean): RangeResult {
  const coverage = new Coverage()
  const startMs = performance.now()
  let [ran, hash, violation]: [number, string, RangeResult['violation']] = [0, '', undefined]
  for (let seed = from; seed < from + count && violation === undefined; seed += 1) {
    const result = runSeed(seed, { bug, keepsTrace })
    coverage.add(result.counts)
    hash = mixed(hash, result.hash)
    ran += 1
    // The same seed again, now with its trace: that is what determinism is for.
    if (result.violation !== undefined) violation = keepsTrace ? result : runSeed(seed, { bug, keepsTrace: true })
    else if (keepsTrace) process.stdout.write(`${result.trace.join('\n')}\n`)
  }
  return { from, count: ran, ms: performance.now() - startMs, counts: coverage.counts(), hash, violation }
}

function mixed(hash: string, next: string): string {
  const sum = (Math.imul(Number.parseInt(hash || '0', 16), 31) + Number.parseInt(next, 16)) >>> 0
  return sum.toString(16).padStart(8, '0')
}

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    bug: { type: 'string', default: '' },
    trace: { type: 'boolean', default: false },
  },
})
const bug = isBugName(values.bug) ? values.bug : undefined
process.stdout.write(`${JSON.stringify(runRange(Number(values.from), Number(values.count), bug, values.trace))}\n`)
