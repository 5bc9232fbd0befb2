/**
 * The crash campaign: `npm run crash -- [--kills 200] [--seed N] [--json] [--save]`. Exit status 1 when anything that was promised is
 * lost, paid twice, or never ends. A seed repeats the plan of kills and requests; where in its work the daemon dies depends on time too.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CampaignResult, runCampaign } from './campaign.ts'
import { POINTS } from './points.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    json: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
})

function summary(result: CampaignResult): string {
  const { books, recovered, promised, recoveryMs, totalMs } = result
  const kills = Object.entries(result.killsAt).sort(([left], [right]) => (left < right ? -1 : 1))
  return [
    `\n${result.kills} kills in ${Math.round(totalMs / 1000)} s:`,
    ...kills.map(([point, count]) => `  ${String(count).padStart(4)}  ${point}`),
    ...Object.entries(result.counts).map(([name, count]) => `${String(count).padStart(6)}  ${name}`),
    `${promised} requests were promised, ${recovered} times a start found an open job`,
    `${books.jobs} jobs: ${books.paid} paid, ${books.refunded} refunded; ${books.transactions} transactions`,
    `the last start finished what was open in ${recoveryMs} ms`,
    ...result.violations.map((violation) => `VIOLATION ${violation}`),
  ].join('\n')
}

const kills = Number(values.kills)
const seed = Number(values.seed)
const home = mkdtempSync(join(tmpdir(), 'cfab-crash-'))
console.error(`seed ${seed}`)
const result = await runCampaign({ home, kills, seed, progress: (line) => console.error(line) })
const unreached = POINTS.filter((point) => result.killsAt[point] === undefined)
const lacking = kills >= 4 * POINTS.length ? unreached.map((point) => `never killed at ${point}`) : []
const full = { ...result, violations: [...result.violations, ...lacking] }
console.log(values.json ? JSON.stringify(full, null, 2) : summary(full))
if (full.violations.length > 0) {
  console.error(`\nreplay with: npm run crash -- --kills ${kills} --seed ${seed}; what is left lies in ${home}`)
  process.exitCode = 1
} else rmSync(home, { recursive: true, force: true })
if (values.save) {
  const folder = join(import.meta.dirname, '..', '..', 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const machine = {
    cpus: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  }
  writeFileSync(join(folder, 'crash.json'), `${JSON.stringify({ machine, ...full }, null, 2)}\n`)
}
