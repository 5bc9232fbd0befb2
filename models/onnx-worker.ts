/**
 * A thread of the compute host that runs one ONNX model, started by models/onnx.ts.
 *
 * Why a thread: the engine computes in the thread that calls it, and the host has frames to read meanwhile. It must never be
 * terminated while it computes: that aborts the whole process.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node'

export type OnnxSettings = { readonly path: string; readonly threads: number }

/** Ids are `rows * columns`, row by row, with 0 for padding. */
export type OnnxTask = { readonly settings: OnnxSettings } & (
  | { readonly type: 'describe' }
  | { readonly type: 'embed'; readonly ids: BigInt64Array; readonly rows: number; readonly columns: number }
)

export type OnnxAnswer =
  | { readonly type: 'described'; readonly version: string; readonly dimensions: number }
  | { readonly type: 'embedded'; readonly values: Float32Array }
  /** Why the model cannot be used at all. */
  | { readonly type: 'refused'; readonly reason: 'engine_refused' | 'signature_invalid'; readonly message: string }

const INPUT = 'ids'
const OUTPUT = 'embedding'

let opened: Promise<InferenceSession> | undefined

/** The pool's entry: the model is opened with the first task and stays open. */
export async function answer(task: OnnxTask): Promise<OnnxAnswer> {
  opened ??= open(task.settings)
  if (task.type === 'describe') return describe(opened)
  return { type: 'embedded', values: await embed(await opened, task.ids, task.rows, task.columns) }
}

/**
 * Why no spinning: threads that wait in a loop would take a core from the language model beside this one. Why sequential and no
 * memory patterns: one order of computation for any batch, and nothing kept for each shape that ever came.
 */
function open({ path, threads }: OnnxSettings): Promise<InferenceSession> {
  return InferenceSession.create(path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
}

async function describe(opening: Promise<InferenceSession>): Promise<OnnxAnswer> {
  try {
    const dimensions = widthOf(await opening)
    if (dimensions === undefined) return { type: 'refused', reason: 'signature_invalid', message: '' }
    return { type: 'described', version: env.versions.node ?? 'unknown', dimensions }
  } catch (error) {
    return { type: 'refused', reason: 'engine_refused', message: error instanceof Error ? error.message : 'unknown' }
  }
}

/** @returns the length of a vector, or undefined when the model is no `ids: int64[B, T]` to `embedding: float32[B, D]` */
function widthOf({ inputMetadata, outputMetadata }: InferenceSession): number | undefined {
  const input = inputMetadata.find(({ name }) => name === INPUT)
  const output = outputMetadata.find(({ name }) => name === OUTPUT)
  if (input?.isTensor !== true || output?.isTensor !== true || inputMetadata.length !== 1) return undefined
  const width = output.shape[1]
  const isFitting =
    input.type === 'int64' && input.shape.length === 2 && output.type === 'float32' && output.shape.length === 2
  return isFitting && typeof width === 'number' && width > 0 ? width : undefined
}

async function embed(
  session: InferenceSession,
  ids: BigInt64Array,
  rows: number,
  columns: number,
): Promise<Float32Array> {
  const { [OUTPUT]: output } = await session.run({ [INPUT]: new Tensor('int64', ids, [rows, columns]) }, [OUTPUT])
  if (!(output?.data instanceof Float32Array)) throw new Error('the model gave no vectors')
  return output.data
}
