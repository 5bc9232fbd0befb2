/** A sentence encoder in onnxruntime, in a thread of its own: loading and checking, tokens, padded batches of vectors. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { FabricError } from '../core/errors.ts'
import type { LoadedModel, LoadRequest } from './backend.ts'
import { BATCHER_DEFAULTS } from './embed-batcher.ts'
import type { EmbedEngine } from './embed-hosted.ts'
import { encoderBytes } from './memory.ts'
import { verifyModelFile } from './model-file.ts'
import type { OnnxAnswer, OnnxTask } from './onnx-worker.ts'
import type { Tokenizer } from './tokenizer.ts'
import { parseTokenizer } from './vocabulary.ts'

type Pool = Piscina<OnnxTask, OnnxAnswer>

export interface OnnxEngine extends EmbedEngine {
  /** Only while nothing runs: a thread that is ended while it computes takes the process with it. */
  readonly close: () => Promise<void>
}

/** Source runs as it is; a package ships JavaScript in its place. */
const WORKER = fileURLToPath(new URL(`./onnx-worker${extname(import.meta.url)}`, import.meta.url))
/** What Universal Sentence Encoder lite was trained to read; its vocabulary does not say it. */
const CONTEXT_TOKENS = 128
const VOCABULARY_BYTES_MAX = 67_108_864
const NORM_DEVIATION_MAX = 1e-3

/**
 * Loads a model: checks the files, then the memory, then starts the engine and tries it once.
 *
 * Why one worker: it has `threads` of the engine's own, which share one copy of the weights; a second worker would hold another.
 *
 * @param verified  stamp of an earlier check of the same file, or ''
 * @throws          FabricError CF_MODEL_DIGEST_MISMATCH, CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED
 */
export async function openOnnx(request: LoadRequest, verified: string): Promise<OnnxEngine> {
  const { digest, path, slotCount, gpu } = request
  if (gpu !== 'off' && gpu !== 'auto') throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'device_absent', gpu })
  const file = await verifyModelFile(path, digest, verified)
  checkMemory(file.bytes, request)
  const { tokenizer, templateDigest } = await openTokenizer(request)
  const pool: Pool = new Piscina({ filename: WORKER, name: 'answer', minThreads: 1, maxThreads: 1 })
  try {
    const { run, ...described } = await openSession(pool, request, tokenizer)
    const { vocabSize } = tokenizer
    const model: LoadedModel = {
      ...{ digest, vocabSize, slotCount, templateDigest, stopIds: [], ...described },
      toolFormat: 'none',
      driver: { kind: 'onnx', reason: '' },
    }
    const read = (text: string): Uint32Array => tokenizer.encode(text)
    return { model, verified: file.stamp, batching: BATCHER_DEFAULTS, read, run, close: () => pool.destroy() }
  } catch (error) {
    await pool.destroy()
    throw error
  }
}

async function openSession(
  pool: Pool,
  { path, threads, pooling = 'mean', contextTokens: wanted }: LoadRequest,
  tokenizer: Tokenizer,
): Promise<Pick<LoadedModel, 'engineId' | 'contextTokens' | 'dimensions'> & Pick<OnnxEngine, 'run'>> {
  const settings = { path, threads, pooling }
  const described = await pool.run({ type: 'describe', settings })
  if (described.type !== 'described')
    throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: reasonOf(described) }, described)
  const { dimensions, version } = described
  const run = (texts: readonly Uint32Array[]) => runBatch(pool, settings, texts, { dimensions, padId: tokenizer.padId })
  const contextTokens = Math.min(wanted, tokenizer.contextTokens ?? CONTEXT_TOKENS)
  await probe(run, contextTokens, tokenizer.vocabSize)
  const engineId = `onnxruntime/${version} cpu ${process.platform}-${process.arch}`.slice(0, 96)
  return { engineId, contextTokens, dimensions, run }
}

function checkMemory(fileBytes: number, { memoryBytesMax }: LoadRequest): void {
  const bytes = encoderBytes(fileBytes)
  if (bytes > memoryBytesMax) throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { bytes, memoryBytesMax })
}

async function openTokenizer({ tokenizer }: LoadRequest): Promise<{
  readonly tokenizer: Tokenizer
  readonly templateDigest: string
}> {
  if (tokenizer === undefined) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'tokenizer_absent' })
  const { bytes } = await verifyModelFile(tokenizer.path, tokenizer.digest)
  const text = bytes > VOCABULARY_BYTES_MAX ? '' : await readFile(tokenizer.path, 'utf8')
  const parsed = parseTokenizer(text)
  if (parsed === undefined) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'tokenizer_invalid' })
  return { tokenizer: parsed, templateDigest: tokenizer.digest }
}

function reasonOf(refused: Exclude<OnnxAnswer, { type: 'described' }>): string {
  return refused.type === 'refused' ? refused.reason : 'engine_refused'
}

/** Pads the texts to the longest of them. */
async function runBatch(
  pool: Pool,
  settings: OnnxTask['settings'],
  texts: readonly Uint32Array[],
  { dimensions, padId }: { readonly dimensions: number; readonly padId: number },
): Promise<readonly Float32Array[]> {
  const columns = Math.max(...texts.map(({ length }) => length))
  const ids = new BigInt64Array(texts.length * columns).fill(BigInt(padId))
  for (const [row, text] of texts.entries()) ids.set(BigInt64Array.from(text, BigInt), row * columns)
  const lengths = Uint32Array.from(texts, ({ length }) => length)
  const answered = await pool.run({ type: 'embed', settings, batch: { ids, lengths, rows: texts.length, columns } })
  if (answered.type !== 'embedded' || answered.values.length !== texts.length * dimensions)
    throw new Error('the engine answers a batch with as many vectors')
  const { values } = answered
  return texts.map((_, row) => values.slice(row * dimensions, (row + 1) * dimensions))
}

/** The longest text with the highest id: a vocabulary that is not the model's, or a model of another kind, is found here. */
async function probe(run: OnnxEngine['run'], contextTokens: number, vocabSize: number): Promise<void> {
  const attempt = async (): Promise<boolean> => {
    const [vector] = await run([new Uint32Array(contextTokens).fill(vocabSize - 1)])
    return vector !== undefined && Math.abs(Math.hypot(...vector) - 1) < NORM_DEVIATION_MAX
  }
  const isFit = await attempt().catch((error: unknown) => {
    throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'probe_failed' }, error)
  })
  if (!isFit) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'probe_failed' })
}
