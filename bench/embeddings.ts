/** Embeddings per second through the compute host, against bare onnxruntime-node in this process with the same batch. */
import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Backend, LoadRequest } from '../models/backend.ts'
import { USE_LITE } from '../models/catalogue.ts'
import { createUnigram, parseVocabulary } from '../models/unigram.ts'
import { HOST_DEFAULTS, HostBackend } from '../node/hosts/host-backend.ts'
import { systemClock } from '../node/runtime/system.ts'
import { type Figure, median, type Result } from './report.ts'

const THREADS = 1
const BATCHES = [1, 8, 32] as const
/** Callers at once, each with one text at a time. */
const CALLERS = 16
const TEXTS_PER_ROUND = 192
const NEVER = new AbortController().signal
const SENTENCE = 'The quick brown fox jumps over the lazy dog near the river bank.'

type Embed = (count: number) => Promise<unknown>

export async function embeddings(runs: number): Promise<Result> {
  const tokenizer = USE_LITE.tokenizer ?? { path: '', digest: '' }
  const bare = await bareSession(tokenizer.path)
  const backend = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  await backend.load(loadRequest(tokenizer))
  const hosted: Embed = (count) => backend.embed(Array(count).fill(SENTENCE), NEVER)
  const figures = new Map<string, number[]>()
  const note = (name: string, value: number) => figures.set(name, [...(figures.get(name) ?? []), value])
  for (let run = 0; run <= runs; run += 1) {
    // The first round warms both up.
    const keep = run === 0 ? () => undefined : note
    for (const batch of BATCHES) {
      keep(`bare onnxruntime, batch ${batch}`, await perSecond(bare, batch))
      keep(`through the host, batch ${batch}`, await perSecond(hosted, batch))
    }
    keep(`${CALLERS} callers of one text each`, await callersPerSecond(backend))
  }
  await backend.close()
  return { bench: 'embeddings', figures: [...figures].map(figure), ratios: ratiosOf(figures) }
}

function figure([name, values]: readonly [string, readonly number[]]): Figure {
  return { name, unit: 'texts/s', values }
}

function ratiosOf(figures: ReadonlyMap<string, readonly number[]>): Result['ratios'] {
  const of = (name: string): number => median(figures.get(name) ?? [])
  const hosted = BATCHES.map((batch) => ({
    name: `host / bare, batch ${batch}`,
    value: of(`through the host, batch ${batch}`) / of(`bare onnxruntime, batch ${batch}`),
  }))
  const gain = of(`${CALLERS} callers of one text each`) / of('through the host, batch 1')
  return [...hosted, { name: `${CALLERS} callers / one caller`, value: gain }]
}

async function perSecond(embed: Embed, batch: number): Promise<number> {
  const startMs = performance.now()
  for (let done = 0; done < TEXTS_PER_ROUND; done += batch) await embed(batch)
  return (TEXTS_PER_ROUND * 1_000) / (performance.now() - startMs)
}

async function callersPerSecond(backend: Backend): Promise<number> {
  const startMs = performance.now()
  const caller = async (): Promise<void> => {
    for (let done = 0; done < TEXTS_PER_ROUND / CALLERS; done += 1) await backend.embed([SENTENCE], NEVER)
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  return (TEXTS_PER_ROUND * 1_000) / (performance.now() - startMs)
}

/** The same model, settings and ids, with nothing around it. */
async function bareSession(vocabulary: string): Promise<Embed> {
  const session = await InferenceSession.create(USE_LITE.path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: THREADS,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableMemPattern: false,
  })
  const ids = [...createUnigram(parseVocabulary(JSON.parse(readFileSync(vocabulary, 'utf8'))) ?? []).encode(SENTENCE)]
  return (count) => {
    const feed = BigInt64Array.from(Array.from({ length: count }, () => ids).flat(), BigInt)
    return session.run({ ids: new Tensor('int64', feed, [count, ids.length]) }, ['embedding'])
  }
}

function loadRequest(tokenizer: { readonly path: string; readonly digest: string }): LoadRequest {
  return {
    format: 'onnx',
    path: USE_LITE.path,
    digest: USE_LITE.digest,
    tokenizer,
    contextTokens: USE_LITE.contextTokens,
    slotCount: 4,
    threads: THREADS,
    memoryBytesMax: 2 ** 30,
    gpu: 'off',
  }
}
