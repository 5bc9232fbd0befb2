/**
 * Runs the simulation: `npm run simulate -- [--seeds N] [--from S] [--real N] [--bug NAME|all|none] [--within N] [--json]`.
 * `SEED=S npm run simulate [-- --bug NAME]` plays one seed again and prints its trace.
 *
 * Exits 1 when a clean seed breaks a rule, a planted bug is not found, or a fault that must be covered never happened.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { BUGS, type BugName, isBugName } from './bugs.ts'
import { Coverage, MUST_HAPPEN, missing } from './coverage.ts'
import type { RangeResult } from './seeds.ts'

const PARALLEL = 2
const TRACE_LINES_MAX = 80
/** Below this many seeds a fault may be missing by chance. */
const COVERED_SEEDS_MIN = 3_000

type Range = {
  readonly from: number
  readonly count: number
  readonly bug?: BugName
  readonly real?: boolean
  readonly trace?: boolean
}
type Report = { name: string; ok: boolean; seeds: number; seedsPerSecond: number; found?: string; hash?: string }

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20000' },
    from: { type: 'string', default: '1' },
    real: { type: 'string', default: '1000' },
    bug: { type: 'string', default: 'all' },
    within: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
})
const replayed = process.env['SEED']
if (replayed === undefined) await runAll()
else await playAgain(Number(replayed))

async function runAll(): Promise<void> {
  const from = Number(values.from)
  const reports: Report[] = []
  const coverage = new Coverage()
  const seeds = Number(values.seeds)
  if (seeds > 0) reports.push(await clean('clean seeds', { from, count: seeds }, coverage))
  if (Number(values.real) > 0)
    reports.push(
      await clean('clean seeds with real signatures', { from, count: Number(values.real), real: true }, coverage),
    )
  reports.push(...(await eachAtOnce(bugsAsked(), (bug) => hunt(bug, from))))
  const unseen = seeds >= COVERED_SEEDS_MIN ? missing(coverage.counts()) : []
  const ok = reports.every((report) => report.ok) && unseen.length === 0
  if (values.json) process.stdout.write(`${JSON.stringify({ ok, reports, unseen, coverage: coverage.counts() })}\n`)
  else printCoverage(coverage, unseen)
  process.exitCode = ok ? 0 : 1
}

function bugsAsked(): readonly BugName[] {
  const names = Object.keys(BUGS).filter(isBugName)
  return values.bug === 'all' ? names : names.filter((name) => name === values.bug)
}

/** Seeds that must break no rule, shared out over the processes. */
async function clean(name: string, range: Range, coverage: Coverage): Promise<Report> {
  const startMs = performance.now()
  const share = Math.ceil(range.count / PARALLEL)
  const starts = Array.from({ length: PARALLEL }, (_, place) => place * share).filter((start) => start < range.count)
  const results = await Promise.all(
    starts.map((start) => play({ ...range, from: range.from + start, count: Math.min(share, range.count - start) })),
  )
  for (const { counts } of results) coverage.add(counts)
  const broken = results.map((result) => result.violation).find((violation) => violation !== undefined)
  const ran = results.reduce((sum, { count }) => sum + count, 0)
  const report = {
    name,
    ok: broken === undefined,
    seeds: ran,
    seedsPerSecond: perSecond(ran, performance.now() - startMs),
    hash: results.map(({ hash }) => hash).join(''),
  }
  say(`${report.ok ? 'ok     ' : 'BROKEN '} ${ran} ${name} from ${range.from}, ${report.seedsPerSecond} a second`)
  if (broken !== undefined) printViolation(broken, undefined)
  return report
}

async function hunt(bug: BugName, from: number): Promise<Report> {
  const result = await play({ from, count: Number(values.within), bug })
  const { violation } = result
  const found = violation?.violation === undefined ? undefined : `${violation.violation.rule} at seed ${violation.seed}`
  say(
    `${found === undefined ? 'MISSED ' : 'found  '} ${bug} (${BUGS[bug]})${found === undefined ? '' : `: ${found}, ${result.count} seeds in`}`,
  )
  const report = {
    name: bug,
    ok: found !== undefined,
    seeds: result.count,
    seedsPerSecond: perSecond(result.count, result.ms),
  }
  return found === undefined ? report : { ...report, found }
}

async function playAgain(seed: number): Promise<void> {
  const bug = isBugName(values.bug) ? { bug: values.bug } : {}
  const { violation } = await play({ from: seed, count: 1, trace: true, ...bug })
  if (violation === undefined) return say(`seed ${seed} breaks no rule`)
  printViolation(violation, isBugName(values.bug) ? values.bug : undefined)
  process.exitCode = 1
}

/** One process for one range; with real signatures it goes without the hook. */
async function play({ from, count, bug, real, trace }: Range): Promise<RangeResult> {
  const hook = real === true ? [] : ['--import', path.join(import.meta.dirname, 'hooks.ts')]
  const range = [
    '--from',
    String(from),
    '--count',
    String(count),
    '--bug',
    bug ?? '',
    ...(trace === true ? ['--trace'] : []),
  ]
  const child = spawn(process.execPath, [...hook, path.join(import.meta.dirname, 'seeds.ts'), ...range], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  // Nothing but a defect of the simulation itself ends its process like that; stderr has said which.
  if (code !== 0) throw new Error(`a process that ran ${count} seeds from ${from} ended with ${code}`)
  const lines = output.trimEnd().split('\n')
  if (trace === true && lines.length > 1) process.stdout.write(`${lines.slice(0, -1).join('\n')}\n`)
  return parseRange(lines.at(-1) ?? '')
}

function parseRange(line: string): RangeResult {
  return JSON.parse(line) as RangeResult
}

async function eachAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const [queue, results]: [T[], R[]] = [[...items], []]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) results.push(await work(item))
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
  return results
}

function perSecond(count: number, ms: number): number {
  return Math.round((count / ms) * 10_000) / 10
}

function say(line: string): void {
  if (!values.json) process.stdout.write(`${line}\n`)
}

function printViolation(
  { seed, violation, trace }: NonNullable<RangeResult['violation']>,
  bug: BugName | undefined,
): void {
  const again = bug === undefined ? '' : ` -- --bug ${bug}`
  const lines = ['', ...trace.slice(-TRACE_LINES_MAX), `seed ${seed} breaks ${violation?.rule}: ${violation?.message}`]
  process.stderr.write(`${lines.join('\n')}\nplay it again: SEED=${seed} npm run simulate${again}\n`)
}

function printCoverage(coverage: Coverage, unseen: readonly string[]): void {
  const counts = Object.entries(coverage.counts())
  const width = Math.max(0, ...counts.map(([name]) => name.length))
  say(`\nwhat happened (${MUST_HAPPEN.length} of these must)`)
  for (const [name, count] of counts) say(`${name.padEnd(width)} ${String(count).padStart(10)}`)
  if (unseen.length > 0) say(`\nNEVER HAPPENED: ${unseen.join('; ')}`)
}
