/**
 * Runs the tests: `node test/run.ts [--only unit,contract] [part of a path ...]`.
 *
 * Each file gets a process of its own, two at a time, with a time limit, a temporary folder and a process group, since uvu has none
 * of them: a file that hangs, litters or leaves a process behind is found here. A file that ran no test counts as failed, because
 * uvu exits 0 when a file forgets to call run(). Without a filter, types and lint are checked too.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const ROOT = path.dirname(import.meta.dirname)
const PARALLEL = 2
const LIMIT_MS = 240_000
const OUTPUT_CHARS_MAX = 200_000
const SLOWEST_COUNT = 5
/** How long a process that a test started may outlive the test. */
const LEFTOVER_GRACE_MS = 3_000
/** The long groups, started first so that the last minute is not spent on one file; their limits are longer. */
const LONG_GROUPS = new Map([
  ['e2e', 600_000],
  ['crash', 600_000],
  ['simulation', 600_000],
  ['integration', LIMIT_MS],
  ['contract', LIMIT_MS],
])

type Check = {
  readonly name: string
  readonly group: string
  readonly limitMs: number
  readonly command: readonly string[]
}
type Exit = { readonly output: string; readonly problem: string | undefined }
type Outcome = { readonly check: Check; readonly exit: Exit; readonly ms: number } & Counts
type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }

/** The checks of tools, which count as one test each. */
function toolChecks(): readonly Check[] {
  const bin = path.join(ROOT, 'node_modules', '.bin')
  const tool = (name: string, ...command: string[]) => ({ name, group: name, limitMs: LIMIT_MS, command })
  return [
    tool('types', path.join(bin, 'tsc'), '--noEmit', '-p', 'tsconfig.json'),
    tool('lint', path.join(bin, 'biome'), 'check', '--error-on-warnings', '--colors=off', '.'),
  ]
}

function fileCheck(file: string): Check {
  const group = file.split('/')[1] ?? ''
  return { name: file, group, limitMs: LONG_GROUPS.get(group) ?? LIMIT_MS, command: [process.execPath, file] }
}

/** All checks that the arguments ask for, long groups first. */
function selectChecks(parts: readonly string[], only: readonly string[]): readonly Check[] {
  const order = [...LONG_GROUPS.keys(), 'types', 'lint']
  const rank = (check: Check) => (order.includes(check.group) ? order.indexOf(check.group) : order.length)
  const files = globSync('test/**/*.test.ts', { cwd: ROOT }).map((file) => file.split(path.sep).join('/'))
  return [...toolChecks(), ...files.sort().map(fileCheck)]
    .filter((check) => only.length === 0 || only.includes(check.group))
    .filter((check) => parts.length === 0 || parts.some((part) => check.name.includes(part)))
    .sort((a, b) => rank(a) - rank(b))
}

/** Signals a whole process group. @returns false when nobody is left in it */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}

/** Waits for the processes that a check started to end; those that do not are killed. @returns whether any had to be */
async function sweepGroup(pid: number): Promise<boolean> {
  const untilMs = performance.now() + LEFTOVER_GRACE_MS
  while (signalGroup(pid, 0)) {
    if (performance.now() > untilMs) return signalGroup(pid, 'SIGKILL')
    await sleep(20)
  }
  return false
}

const running = new Set<number>()

/** Runs one command to its end or its limit, in a process group of its own. */
async function execute(check: Check, temporary: string): Promise<Exit> {
  const { FORCE_COLOR: _, ...environment } = process.env
  const env = { ...environment, NO_COLOR: '1', TMPDIR: temporary }
  const [command = '', ...args] = check.command
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const pid = child.pid
  if (pid === undefined) return { output: '', problem: `cannot be started: ${command}` }
  running.add(pid)
  let output = ''
  const collect = (chunk: string) => {
    output = (output + chunk).slice(-OUTPUT_CHARS_MAX)
  }
  child.stdout.setEncoding('utf8').on('data', collect)
  child.stderr.setEncoding('utf8').on('data', collect)
  let late = false
  const timer = setTimeout(() => {
    late = true
    signalGroup(pid, 'SIGKILL')
  }, check.limitMs)
  const closed = once(child, 'close')
  const ended = await new Promise<string | undefined>((resolve) => {
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`))
  })
  clearTimeout(timer)
  const left = await sweepGroup(pid)
  await Promise.race([closed, sleep(LEFTOVER_GRACE_MS, undefined, { ref: false })])
  running.delete(pid)
  if (late) return { output, problem: `took longer than ${check.limitMs / 1000} s` }
  return { output, problem: ended ?? (left ? 'left a process behind' : undefined) }
}

/** Reads what uvu counted out of its summary; undefined when there is none. */
function parseCounts(output: string): Counts | undefined {
  const [total, passed, skipped] = ['Total', 'Passed', 'Skipped'].map((label) => {
    const found = [...output.matchAll(new RegExp(`^ {2}${label}: +(\\d+)$`, 'gm'))].at(-1)
    return found === undefined ? undefined : Number(found[1])
  })
  if (total === undefined || passed === undefined || skipped === undefined) return undefined
  return { passed, failed: total - passed, skipped }
}

function judge(check: Check, exit: Exit): Counts & { readonly problem: string | undefined } {
  const isFile = check.name === check.command.at(-1)
  if (!isFile) {
    const failed = exit.problem === undefined ? 0 : 1
    return { passed: 1 - failed, failed, skipped: 0, problem: exit.problem }
  }
  const counts = parseCounts(exit.output) ?? { passed: 0, failed: 0, skipped: 0 }
  const empty = counts.passed + counts.failed + counts.skipped === 0
  const problem = exit.problem ?? (empty ? 'ran no test' : undefined)
  return { ...counts, failed: Math.max(counts.failed, problem === undefined ? 0 : 1), problem }
}

async function runCheck(check: Check): Promise<Outcome> {
  const temporary = mkdtempSync(path.join(tmpdir(), 'cfab-test-'))
  const startedMs = performance.now()
  try {
    const exit = await execute(check, temporary)
    const { problem, ...counts } = judge(check, exit)
    return { check, exit: { ...exit, problem }, ms: performance.now() - startedMs, ...counts }
  } finally {
    rmSync(temporary, { recursive: true, force: true, maxRetries: 3 })
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function report({ check, exit, ms, passed, failed, skipped }: Outcome): void {
  const counts = `${passed} passed${failed > 0 ? `, ${failed} failed` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`
  console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${check.name}: ${counts} (${seconds(ms)})`)
  if (skipped > 0) for (const line of exit.output.split('\n')) if (/^skipped\b/i.test(line)) console.log(`     ${line}`)
  if (failed > 0) console.log(`${exit.output.trimEnd()}\n--- ${check.name}: ${exit.problem ?? 'failed'}\n`)
}

async function runAll(checks: readonly Check[]): Promise<readonly Outcome[]> {
  const waiting = [...checks]
  const outcomes: Outcome[] = []
  const lane = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      const outcome = await runCheck(check)
      report(outcome)
      outcomes.push(outcome)
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, lane))
  return outcomes
}

function summarise(outcomes: readonly Outcome[]): boolean {
  const sum = (count: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + count(outcome), 0)
  const [passed, failed, skipped] = [sum((o) => o.passed), sum((o) => o.failed), sum((o) => o.skipped)]
  const slowest = outcomes.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST_COUNT)
  console.log('\nSlowest:')
  for (const { check, ms } of slowest) console.log(`  ${seconds(ms).padStart(8)}  ${check.name}`)
  const failing = outcomes.filter((outcome) => outcome.failed > 0)
  if (failing.length > 0) console.log(`\nFailed: ${failing.map((outcome) => outcome.check.name).join(', ')}`)
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed === 0
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const pid of running) signalGroup(pid, 'SIGKILL')
    process.exit(130)
  })
}
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', default: '' } },
})
const checks = selectChecks(positionals, values.only.split(',').filter(Boolean))
if (checks.length === 0) console.error('No test matches.')
const outcomes = await runAll(checks)
process.exitCode = summarise(outcomes) && checks.length > 0 ? 0 : 1
