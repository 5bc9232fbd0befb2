/**
 * `npm run bench:verification [-- PART...] [--save] [--runs N] [--threads 1,2]`: calibrates the bundled model and a family of small
 * ones, tries the tables on honest outputs and on cheats, and measures what being checkable costs. PART is a model's name,
 * `divergence`, `probes`, `cheats` or `cost`.
 *
 * With --save the signed tables, the pictures and bench/results/verification.json are written anew.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { opener } from '../node/calibrate-host.ts'
import { calibrate } from '../node/calibration/calibrate.ts'
import { readPolicyFile, writePolicyFile } from '../node/calibration/policy-file.ts'
import { rocPlot } from '../node/calibration/roc.ts'
import { summaryOf } from '../node/calibration/summary.ts'
import { cheatRows, honestRows, percent, thresholdRows } from '../node/calibration/text.ts'
import { variantsOf } from '../node/calibration/variants.ts'
import { columns } from '../node/commands/print.ts'
import { pathsOf } from '../node/paths.ts'
import { systemClock, systemRandom } from '../node/runtime/system.ts'
import { Prng } from '../node/simulation/prng.ts'
import { createKeyStore } from '../node/stores/keystore.ts'
import { type CheatRuns, cheatRuns } from './verification/cheats.ts'
import { costPart } from './verification/cost.ts'
import { divergences } from './verification/divergence.ts'
import { type Family, families } from './verification/models.ts'
import { probeFigures } from './verification/probes.ts'
import { savePart } from './verification/results.ts'

/** Of those that a package has, one for each way to compute that gives logits of its own here; see docs/CALIBRATION.md. */
const KERNELS = ['x64', 'sandybridge', 'haswell', 'skylakex']
const OTHERS = ['divergence', 'probes', 'cheats', 'cost']
const PROBE_OUTPUTS = { outputs: 360, cheatOutputs: 120 }
/** Honest outputs that one token is changed in. */
const EDITED_OUTPUTS = 1_400
const DRAWS = 100_000
const MEMORY_BYTES_MAX = 2 ** 32
const PROGRESS_MS = 15_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    save: { type: 'boolean', default: false },
    runs: { type: 'string', default: '9' },
    threads: { type: 'string', default: '1,2' },
    home: { type: 'string' },
  },
})

async function main(): Promise<void> {
  const all = await families()
  const names = positionals.length > 0 ? positionals : [...all.map(({ name }) => name), ...OTHERS]
  for (const name of names) {
    const family = all.find((one) => one.name === name)
    if (family !== undefined) await calibrateFamily(family)
    else if (name === 'cost') await measureCost()
    else if (name === 'divergence') await measureDivergence(all)
    else if (name === 'probes') await measureProbes(all)
    else if (name === 'cheats') await measureCheats(all)
    else throw new Error(`unknown part ${name}: one of ${[...all.map((one) => one.name), ...OTHERS].join(', ')}`)
  }
}

async function calibrateFamily(family: Family): Promise<void> {
  const { name, model, cheats, outputs, cheatOutputs, maxTokens, seed } = family
  const variants = await variantsOf({
    kernels: KERNELS,
    threads: values.threads.split(',').map(Number),
    isQuick: false,
  })
  const options = { seed, outputs, cheats: cheatOutputs, maxTokens, draws: DRAWS }
  const startMs = systemClock.nowMs()
  const ports = {
    open: opener({ memoryMax: MEMORY_BYTES_MAX }),
    ...{ nowMs: systemClock.nowMs, onProgress: progress(), signal: new AbortController().signal },
  }
  const calibration = await calibrate(model, cheats, { ...options, variants }, ports)
  const { table, assessment } = calibration
  const seconds = (systemClock.nowMs() - startMs) / 1_000
  console.log(`\n## ${name}, seed ${seed}, ${seconds.toFixed(0)} s\n`)
  for (const rows of [thresholdRows(table.rows), honestRows(assessment), cheatRows(assessment)])
    console.log(columns(rows))
  if (!values.save) return
  const keys = createKeyStore(pathsOf(values.home, process.env, process.cwd()).keys, systemRandom)
  await writePolicyFile(family.policy, table, await keys.load('node'))
  writeFileSync(family.svg, rocPlot(calibration, seed))
  const files = cheats.map((cheat) => ({ name: cheat.name, digest: cheat.digest }))
  savePart(name, { ...summaryOf(calibration, options), cheatModels: files, seconds })
}

async function measureCost(): Promise<void> {
  const part = await costPart(Number(values.runs))
  console.log(`\n## cost\n\n${JSON.stringify(part, null, 1)}`)
  if (values.save) savePart('cost', part)
}

async function measureDivergence(all: readonly Family[]): Promise<void> {
  const open = opener({ memoryMax: MEMORY_BYTES_MAX })
  const part: Record<string, object> = {}
  for (const { name, model, cheats, seed } of all) part[name] = await divergences(open, model, cheats, seed)
  console.log(`\n## divergence\n\n${JSON.stringify(part, null, 1)}`)
  if (values.save) savePart('divergence', part)
}

async function measureProbes(all: readonly Family[]): Promise<void> {
  const open = opener({ memoryMax: MEMORY_BYTES_MAX })
  const variants = await variantsOf({ kernels: KERNELS, threads: [1], isQuick: false })
  const part: Record<string, object> = {}
  for (const { name, model, cheats, seed, policy } of all) {
    const { table } = await readPolicyFile(policy)
    part[name] = await probeFigures(open, model, cheats, { ...PROBE_OUTPUTS, seed, variants, table })
  }
  console.log(`\n## probes\n\n${JSON.stringify(part, null, 1)}`)
  if (values.save) savePart('probes', part)
}

/** More of the cheats that a calibration has a few hundred of, against the saved tables. */
async function measureCheats(all: readonly Family[]): Promise<void> {
  const open = opener({ memoryMax: MEMORY_BYTES_MAX })
  const variants = await variantsOf({ kernels: KERNELS, threads: [1], isQuick: false })
  const part: Record<string, object> = {}
  for (const { name, model, cheats, seed, policy, maxTokens, manyOutputs: outputs } of all) {
    const { table } = await readPolicyFile(policy)
    const options = { maxTokens, outputs, edits: EDITED_OUTPUTS, variants, table }
    const ports = { open, prng: new Prng(seed + 1), onProgress: progress() }
    const rows = await cheatRuns(model, cheats, options, ports)
    console.log(`\n## cheats on ${name}, seed ${seed + 1}\n`)
    console.log(columns(manyCheatRows(rows)))
    part[name] = { seed: seed + 1, rows }
  }
  if (values.save) savePart('cheats', part)
}

function manyCheatRows(rows: readonly CheatRuns[]): readonly (readonly string[])[] {
  const head = ['CHEAT', 'OUTPUTS', 'CAUGHT', 'FAILED', 'IN 64 TOKENS', 'IN 128 TOKENS', 'IN 256 TOKENS']
  const row = ({ set, outputs, whole, windows }: CheatRuns): readonly string[] => [
    ...[set, String(outputs), percent(whole.caught), percent(whole.failed)],
    ...windows.map(({ caught }) => percent(caught)),
  ]
  return [head, ...rows.map(row)]
}

function progress(): (stage: string, done: number, total: number) => void {
  let shownMs = 0
  return (stage, done, total) => {
    const nowMs = systemClock.nowMs()
    if (nowMs - shownMs < PROGRESS_MS) return
    shownMs = nowMs
    console.error(`${stage}: ${done} of ${total}`)
  }
}

await main()
