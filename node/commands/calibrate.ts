/** `cfab-node calibrate`: thresholds of the prefill audit for one model, measured on this machine. Needs no running node. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import type { Calibration } from '../calibration/calibrate.ts'
import { rocPlot } from '../calibration/roc.ts'
import { summaryOf } from '../calibration/summary.ts'
import { cheatRows, honestRows, thresholdRows } from '../calibration/text.ts'
import { type Config, loadConfig } from '../config.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { drawSeed } from '../simulation/prng.ts'
import { createKeyStore } from '../stores/keystore.ts'
import { type Run, repeatable } from './flags.ts'
import type { Io } from './io.ts'
import { columns, json } from './print.ts'

export type CalibrateFlags = {
  readonly home?: string
  readonly cheat: readonly string[]
  readonly out?: string
  readonly svg?: string
  readonly json?: boolean
  readonly quick?: boolean
  readonly threads: string
  readonly kernels?: string
  readonly outputs?: string
  readonly cheats?: string
  readonly maxTokens?: string
  readonly seed?: string
}

/** `wide` is what a table should be made of, `quick` shows that everything works. */
const SIZES = {
  wide: { outputs: 6_000, cheats: 600, maxTokens: 256, draws: 100_000 },
  quick: { outputs: 60, cheats: 20, maxTokens: 48, draws: 10_000 },
} as const
const PROGRESS_MS = { terminal: 200, plain: 10_000 } as const

export function addCalibrate(program: Command, run: Run): void {
  program
    .command('calibrate')
    .description('measure the thresholds by which the output of a model is audited, and sign them')
    .argument('<model>', 'model id, or a path to a .gguf file')
    .option('--home <folder>', 'node folder whose models count and whose node key signs')
    .addOption(repeatable('--cheat <model>', 'a model that must be caught in its place; may be repeated'))
    .option('--out <file>', 'the signed table (default: <model>.policy)')
    .option('--svg <file>', 'draw what the mean margin tells apart')
    .option('--json', 'all figures as JSON')
    .option('--quick', 'few outputs in few variants: shows that it works, and is no table to judge by')
    .option('--threads <counts>', 'engine threads to vary', '1,2')
    .option('--kernels <names>', 'kernels of the processor to vary, e.g. x64,haswell (default: all that run here)')
    .option('--outputs <count>', 'honest outputs, 48 to 100,000 (default: 6,000; with --quick 60)')
    .option('--cheats <count>', 'outputs of each cheat, 1 to 10,000 (default: 600; with --quick 20)')
    .option('--max-tokens <count>', 'length of an output at most, 16 to 512 (default: 256; with --quick 48)')
    .option('--seed <number>', 'the same seed makes the same prompts (default: drawn and shown)')
    .action((model: string, flags: CalibrateFlags) => run((io) => calibrateModel(model, flags, io)))
}

async function calibrateModel(name: string, flags: CalibrateFlags, io: Io): Promise<number> {
  const config = loadConfig({ flags: { home: flags.home }, env: io.env, cwd: io.cwd })
  const isQuick = flags.quick === true
  const size = SIZES[isQuick ? 'quick' : 'wide']
  const options = {
    seed: flags.seed === undefined ? drawSeed(systemRandom) : count(flags.seed, '--seed', 0, 2 ** 32 - 1),
    outputs: count(flags.outputs ?? String(size.outputs), '--outputs', 48, 100_000),
    cheats: count(flags.cheats ?? String(size.cheats), '--cheats', 1, 10_000),
    maxTokens: count(flags.maxTokens ?? String(size.maxTokens), '--max-tokens', 16, 512),
    draws: size.draws,
  }
  const threads = flags.threads.split(',').map((text) => count(text, '--threads', 1, 256))
  // Loaded here and not above: the other commands must not pay for the engine.
  const [{ calibrate }, { variantsOf }, { modelFileOf, opener }] = await Promise.all([
    import('../calibration/calibrate.ts'),
    import('../calibration/variants.ts'),
    import('../calibrate-host.ts'),
  ])
  const model = await modelFileOf(name, config, io.cwd)
  const cheats = await Promise.all(flags.cheat.map((cheat) => modelFileOf(cheat, config, io.cwd)))
  const kernels = flags.kernels === undefined ? {} : { kernels: flags.kernels.split(',') }
  const variants = await variantsOf({ ...kernels, threads, isQuick })
  io.err(`seed ${options.seed}: ${options.outputs} honest outputs in ${variants.length} variants\n`)
  const stop = new AbortController()
  const unlisten = io.onStop(() => stop.abort(new FabricError('CF_CONFIG_INVALID', { reason: 'stopped' })))
  try {
    const ports = { open: opener(config), nowMs: systemClock.nowMs, onProgress: progress(io), signal: stop.signal }
    const calibration = await calibrate(model, cheats, { ...options, variants }, ports)
    await deliver(calibration, flags, options, config, io)
    return 0
  } finally {
    unlisten()
  }
}

async function deliver(
  calibration: Calibration,
  flags: CalibrateFlags,
  options: Parameters<typeof summaryOf>[1],
  config: Config,
  io: Io,
): Promise<void> {
  const { writePolicyFile } = await import('../calibration/policy-file.ts')
  const path = resolve(io.cwd, flags.out ?? `${calibration.model.name}.policy`)
  const key = await createKeyStore(config.paths.keys, systemRandom).load('node')
  await writePolicyFile(path, calibration.table, key)
  if (flags.svg !== undefined) await save(resolve(io.cwd, flags.svg), rocPlot(calibration, options.seed))
  io.out(flags.json === true ? json(summaryOf(calibration, options)) : textOf(calibration))
  const warning = flags.quick === true ? ' Made with --quick: do not judge anybody by it.' : ''
  io.err(`${path}, signed by ${key.peer}.${warning}\n`)
}

function textOf({ table, leftOut, skipped, assessment }: Calibration): string {
  const notes = [
    ...(skipped.length === 0 ? [] : [`Not run here: ${skipped.join(', ')}.`]),
    ...(leftOut.length === 0 ? [] : [`Measured, without a row in the table: ${leftOut.join('; ')}.`]),
  ]
  const parts = [columns(thresholdRows(table.rows)), columns(honestRows(assessment)), columns(cheatRows(assessment))]
  return `${[...parts, ...notes.map((note) => `${note}\n`)].join('\n')}`
}

function count(text: string, flag: string, min: number, max: number): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key: flag, expected: `${min} to ${max}` })
  return value
}

function progress(io: Io): (stage: string, done: number, total: number) => void {
  const everyMs = io.isTerminal === true ? PROGRESS_MS.terminal : PROGRESS_MS.plain
  let shownMs = systemClock.nowMs()
  return (stage, done, total) => {
    const nowMs = systemClock.nowMs()
    if (nowMs - shownMs < everyMs && done > 0) return
    shownMs = nowMs
    const text = `${stage}: ${done} of ${total}`
    io.err(io.isTerminal === true ? `\r${text.padEnd(60)}` : `${text}\n`)
  }
}

async function save(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    const expected = 'a file that can be written'
    throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key: '--svg', file: path, expected }, error)
  })
}
