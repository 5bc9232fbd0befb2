/**
 * Runs the attacks and writes what came of each into docs/VERIFICATION.md: `node test/attacks/table.ts`.
 *
 * Why by a program: figures that somebody copied are figures of some other day.
 */
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attackTable, outcomesIn, withTable } from './support/catalogue.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DOCUMENT = join(ROOT, 'docs', 'VERIFICATION.md')
const LIMIT_MS = 600_000

function run(file: string): string {
  const { stdout, status } = spawnSync(process.execPath, [file], { cwd: ROOT, encoding: 'utf8', timeout: LIMIT_MS })
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${file}`)
  if (status === 0) return stdout
  console.log(stdout)
  process.exitCode = 1
  return ''
}

const files = globSync('test/attacks/*.test.ts', { cwd: ROOT }).filter((file) => !file.endsWith('document.test.ts'))
const output = files.sort().map(run).join('\n')
if (process.exitCode !== 1)
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, 'utf8'), attackTable(outcomesIn(output))))
