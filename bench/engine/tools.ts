/** llama.cpp's own benchmarks, run once and read. Same threads, flash attention, key and value types and batch sizes as ours. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Model } from './models.ts'
import { referencePath, TOOLS_FOLDER } from './references.ts'
import type { Order } from './workload.ts'

const run = promisify(execFile)
const RUN_MS_MAX = 120_000
/** As our engine's: batch sizes, types of keys and values. */
const SAME = ['-b', '2048', '-ub', '512', '-ctk', 'f16', '-ctv', 'f16']

/** @param test  `pp`: reads a prompt; `tg`: generates. @returns tokens per second */
export async function llamaBench(model: Model, threads: number, test: 'pp' | 'tg', tokens: number): Promise<number> {
  const [prompt, generated] = test === 'pp' ? [tokens, 0] : [0, tokens]
  const counts = ['-p', String(prompt), '-n', String(generated), '-r', '1', '-t', String(threads)]
  const stdout = await output('llama-bench', [
    '-m',
    model.path,
    ...counts,
    ...SAME,
    ...layersOf(model),
    '-fa',
    '1',
    '-o',
    'json',
  ])
  const [result] = parseRecords(JSON.parse(stdout))
  return Number(result?.['avg_ts'])
}

/** All sequences together, one token of each at a time. @returns generated tokens per second */
export async function llamaBatchedBench(
  model: Model,
  threads: number,
  sequences: number,
  promptTokens: number,
  tokens: number,
): Promise<number> {
  const contextTokens = sequences * (promptTokens + tokens)
  // Twice the same: the first one warms up, for all that the tool warms by itself is one sequence.
  const counts = ['-npp', String(promptTokens), '-ntg', String(tokens), '-npl', `${sequences},${sequences}`]
  const limits = ['-c', String(contextTokens), '-t', String(threads), '--no-kv-unified']
  const stdout = await output('llama-batched-bench', [
    ...['-m', model.path, ...counts, ...limits, ...SAME, ...layersOf(model)],
    ...['-fa', 'on', '--output-format', 'jsonl'],
  ])
  const last = stdout
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('{'))
  const [result] = parseRecords([JSON.parse(last ?? '{}')])
  return Number(result?.['speed_tg'])
}

/** All of them or none on the device. */
export function layersOf({ gpu }: Model): readonly string[] {
  return ['-ngl', gpu === 'off' ? '0' : '99']
}

/** The engine's own loop in plain C++: the same libraries with nothing around them. @returns undefined where it is not built */
export async function bareLoop(model: Model, threads: number, order: Order): Promise<number | undefined> {
  if (!existsSync(referencePath('raw'))) return undefined
  const { sequences, promptTokens, tokens } = order
  const context = 2 * (promptTokens + tokens)
  const stdout = await output('raw', [
    ...[`--libraries=${TOOLS_FOLDER}`, `--model=${model.path}`, `--streams=${sequences}`, `--threads=${threads}`],
    ...[`--context=${context}`, `--prompt=${promptTokens}`, `--tokens=${tokens}`, '--repeats=2'],
  ])
  const last = stdout.trim().split('\n').at(-1)
  const [result] = parseRecords([JSON.parse(last ?? '{}')])
  return Number(result?.['decode_tokens_per_s'])
}

async function output(tool: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(referencePath(tool), args, { timeout: RUN_MS_MAX, maxBuffer: 16_777_216 })
  return stdout
}

function parseRecords(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []
}
