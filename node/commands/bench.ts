/** `cfab-node bench`: how fast this machine runs a model, in the table that llama-bench made customary. Needs no running node. */
import type { Command } from 'commander'
import { Option } from 'commander'
import { FabricError } from '../../core/errors.ts'
import type { Backend, GenerateRequest, LoadedModel } from '../../models/backend.ts'
import type { CatalogueEntry } from '../../models/catalogue.ts'
import { type Config, loadConfig } from '../config.ts'
import { systemClock } from '../runtime/system.ts'
import { GPU_KINDS } from '../settings.ts'
import type { Run } from './flags.ts'
import type { Io } from './io.ts'
import { json } from './print.ts'

const FORMATS = ['md', 'json', 'jsonl', 'csv'] as const

export type BenchOptions = {
  readonly prompt: string
  readonly gen: string
  readonly parallel: string
  readonly repetitions: string
  readonly output: (typeof FORMATS)[number]
  readonly home?: string
  readonly model?: string
  readonly threads?: string
  readonly gpu?: string | true
}

/** One line of the table. */
export type BenchRow = {
  readonly model: string
  readonly bytes: number
  readonly parameters: string
  readonly backend: string
  readonly threads: number
  /** What drives the libraries: `native` or `lockstep`. */
  readonly driver: string
  /** Layers on a GPU: all or none. */
  readonly ngl: number
  readonly test: string
  /** Tokens per second, one for each repetition. */
  readonly speeds: readonly number[]
}

type Test = { readonly name: string; readonly measure: (backend: Backend, model: LoadedModel) => Promise<number> }

/** A run that ended early by a stop token goes on with another seed; so often at most. */
const RESTARTS_MAX = 256
const RUN_MS_MAX = 600_000
const GPU_LAYERS_ALL = 99
const MIB = 1_048_576

export function addBench(program: Command, run: Run): void {
  program
    .command('bench')
    .description('tokens per second of a model on this machine, prompt and generation apart')
    .option('--home <folder>', 'node folder whose models count')
    .option('-m, --model <id>', 'model id (default: cfab-tiny)')
    .option('-p, --prompt <tokens>', 'length of the prompt; 0 leaves the test out', '512')
    .option('-n, --gen <tokens>', 'tokens to generate; 0 leaves the test out', '128')
    .option('--parallel <counts>', 'sequences generated together, e.g. 1,4,8', '1')
    .option('-r, --repetitions <count>', 'measurements of each test, after one to warm up', '5')
    .option('--threads <count>', 'engine threads (default: cores - 1)')
    .option('--gpu [kind]', `${GPU_KINDS.join(', ')} (default: off; without a kind: auto)`)
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(FORMATS).default('md'))
    .action((options: BenchOptions) => run((io) => bench(options, io)))
}

async function bench(options: BenchOptions, io: Io): Promise<number> {
  const { home, model: id, threads, gpu } = options
  const flags = { home, model: id, threads, gpu: gpu === true ? 'auto' : gpu }
  const config = loadConfig({ flags, env: io.env, cwd: io.cwd })
  const parallel = options.parallel.split(',').map((text) => count(text, '--parallel', 1, 64))
  const repetitions = count(options.repetitions, '--repetitions', 1, 1_000)
  const tests = testsOf(
    count(options.prompt, '--prompt', 0, 131_072),
    count(options.gen, '--gen', 0, 131_072),
    parallel,
  )
  if (tests.length === 0)
    throw new FabricError('CF_CONFIG_INVALID', {
      source: 'flag',
      key: '--gen',
      expected: 'a test to run: --prompt or --gen above 0',
    })
  // Loaded here and not above: the other commands must not pay for the engine.
  const { openForBench } = await import('../bench-host.ts')
  const { entry, backend, model } = await openForBench(config, Math.max(...parallel))
  try {
    const rows: BenchRow[] = []
    for (const test of tests) {
      io.err(`${test.name} ...\n`)
      const speeds = await repeat(test, backend, model, repetitions)
      rows.push(rowOf(entry, config, model, test.name, speeds))
    }
    io.out(tableOf(rows, options.output))
  } finally {
    await backend.close()
  }
  return 0
}

function count(text: string, flag: string, min: number, max: number): number {
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key: flag, expected: `${min} to ${max}` })
  return value
}

function testsOf(prompt: number, gen: number, parallel: readonly number[]): readonly Test[] {
  const reading: readonly Test[] =
    prompt === 0 ? [] : [{ name: `pp${prompt}`, measure: (backend, model) => promptSpeed(backend, model, prompt) }]
  const writing = (gen === 0 ? [] : parallel).map(
    (together): Test => ({
      name: together === 1 ? `tg${gen}` : `tg${gen} x${together}`,
      measure: (backend, model) => generationSpeed(backend, model, gen, together),
    }),
  )
  return [...reading, ...writing]
}

async function repeat(test: Test, backend: Backend, model: LoadedModel, times: number): Promise<readonly number[]> {
  await test.measure(backend, model)
  const speeds: number[] = []
  for (let run = 0; run < times; run += 1) speeds.push(await test.measure(backend, model))
  return speeds
}

/** Prompt tokens per second up to the first token. */
async function promptSpeed(backend: Backend, model: LoadedModel, tokens: number): Promise<number> {
  const startNs = systemClock.monotonicNs()
  for await (const batch of generate(backend, requestOf(model, tokens, 1, 0))) {
    if (batch.ids.length > 0) return tokens / secondsSince(startNs)
  }
  throw new FabricError('CF_WORKER_HOST_LOST')
}

/** Tokens per second of all sequences together, from the first token on. */
async function generationSpeed(
  backend: Backend,
  model: LoadedModel,
  tokens: number,
  together: number,
): Promise<number> {
  const spans = await Promise.all(
    Array.from({ length: together }, (_, place) => generateWhole(backend, model, tokens, place)),
  )
  const seconds = Math.max(...spans.map((span) => span.seconds))
  return spans.reduce((sum, span) => sum + span.tokens, 0) / seconds
}

async function generateWhole(backend: Backend, model: LoadedModel, tokens: number, place: number) {
  const span = { tokens: 0, seconds: 0 }
  for (let start = 0; span.tokens < tokens && start < RESTARTS_MAX; start += 1) {
    let firstNs: bigint | undefined
    let counted = 0
    for await (const batch of generate(backend, requestOf(model, 1, tokens - span.tokens + 1, start * 64 + place))) {
      // The first token belongs to the prompt.
      if (firstNs !== undefined) counted += batch.ids.length
      else if (batch.ids.length > 0) firstNs = systemClock.monotonicNs()
    }
    span.tokens += counted
    if (firstNs !== undefined) span.seconds += secondsSince(firstNs)
  }
  return span
}

function generate(backend: Backend, request: GenerateRequest) {
  return backend.generate(request, AbortSignal.timeout(RUN_MS_MAX))
}

/** Ids at random, the same in every run, none that ends a text. */
function requestOf(model: LoadedModel, promptTokens: number, maxTokens: number, seed: number): GenerateRequest {
  const promptIds = new Uint32Array(promptTokens)
  for (let place = 0; place < promptTokens; place += 1) {
    const id = Math.imul(place + 1, 0x9e37_79b1) >>> 0
    promptIds[place] = id % model.vocabSize
    if (model.stopIds.includes(promptIds[place] ?? 0)) promptIds[place] = 0
  }
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, seed)
  return {
    promptIds,
    maxTokens,
    seed: bytes,
    stop: [],
    sampling: { kind: 'gumbel-v1', temperatureMilli: 1_000, topK: 40 },
  }
}

function secondsSince(startNs: bigint): number {
  return Number(systemClock.monotonicNs() - startNs) / 1e9
}

function rowOf(
  entry: CatalogueEntry,
  config: Config,
  { engineId, driver }: LoadedModel,
  test: string,
  speeds: readonly number[],
): BenchRow {
  const { id, bytes, parameters } = entry
  // A device's engine names the processor's part too.
  const backend = /\b(?:cuda|vulkan|metal)\b/.exec(engineId)?.[0] ?? 'cpu'
  const ngl = backend === 'cpu' ? 0 : GPU_LAYERS_ALL
  return { model: id, bytes, parameters, backend, threads: config.threads, driver: driver.kind, ngl, test, speeds }
}

export function tableOf(rows: readonly BenchRow[], format: BenchOptions['output']): string {
  const plain = rows.map(({ model, bytes, parameters, backend, threads, driver, ngl, test, speeds }) => {
    const { mean, deviation } = spreadOf(speeds)
    return {
      model,
      bytes,
      parameters,
      backend,
      threads,
      driver,
      ngl,
      test,
      mean,
      deviation,
      repetitions: speeds.length,
    }
  })
  switch (format) {
    case 'json':
      return json(plain)
    case 'jsonl':
      return plain.map((row) => `${JSON.stringify(row)}\n`).join('')
    case 'csv':
      return [Object.keys(plain[0] ?? {}), ...plain.map((row) => Object.values(row))]
        .map((cells) => `${cells.join(',')}\n`)
        .join('')
    case 'md': {
      const head = ['model', 'size', 'params', 'backend', 'threads', 'driver', 'ngl', 'test', 't/s']
      const lines = plain.map((row) => [
        ...[row.model, `${(row.bytes / MIB).toFixed(2)} MiB`, row.parameters, row.backend.toUpperCase()],
        ...[String(row.threads), row.driver, String(row.ngl), row.test],
        `${row.mean.toFixed(2)} ± ${row.deviation.toFixed(2)}`,
      ])
      return markdown(head, lines)
    }
  }
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((name, at) => Math.max(name.length, ...lines.map((line) => line[at]?.length ?? 0)))
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padStart(widths[at] ?? 0)).join(' | ')} |\n`
  const rule = `| ${widths.map((width) => `${'-'.repeat(width - 1)}:`).join(' | ')} |\n`
  return row(head) + rule + lines.map(row).join('')
}

/** Mean and sample standard deviation. */
function spreadOf(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 }
}
