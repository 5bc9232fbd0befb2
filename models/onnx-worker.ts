/**
 * A thread of the compute host that runs one ONNX model, started by models/onnx.ts.
 *
 * Why a thread: the engine computes in the thread that calls it, and the host has frames to read meanwhile. It must never be
 * terminated while it computes: that aborts the whole process.
 */
import { env, InferenceSession } from 'onnxruntime-node'
import { feedsOf, type OnnxBatch, type Pooling, pooled, type Signature, signatureOf } from './onnx-signature.ts'

export type OnnxSettings = { readonly path: string; readonly threads: number; readonly pooling: Pooling }

export type OnnxTask = { readonly settings: OnnxSettings } & (
  | { readonly type: 'describe' }
  | { readonly type: 'embed'; readonly batch: OnnxBatch }
)

export type OnnxAnswer =
  | { readonly type: 'described'; readonly version: string; readonly dimensions: number }
  | { readonly type: 'embedded'; readonly values: Float32Array }
  /** Why the model cannot be used at all. */
  | { readonly type: 'refused'; readonly reason: 'engine_refused' | 'signature_invalid'; readonly message: string }

type Opened = { readonly session: InferenceSession; readonly signature: Signature | undefined }

let opened: Promise<Opened> | undefined

/** The pool's entry: the model is opened with the first task and stays open. */
export async function answer(task: OnnxTask): Promise<OnnxAnswer> {
  opened ??= open(task.settings)
  if (task.type === 'describe') return describe(opened)
  return { type: 'embedded', values: await embed(await opened, task.batch, task.settings.pooling) }
}

/**
 * Why no spinning: threads that wait in a loop would take a core from the language model beside this one. Why sequential and no
 * memory patterns: one order of computation for any batch, and nothing kept for each shape that ever came.
 */
async function open({ path, threads }: OnnxSettings): Promise<Opened> {
  const session = await InferenceSession.create(path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  return { session, signature: signatureOf(session) }
}

async function describe(opening: Promise<Opened>): Promise<OnnxAnswer> {
  try {
    const { signature } = await opening
    if (signature === undefined) return { type: 'refused', reason: 'signature_invalid', message: '' }
    return { type: 'described', version: env.versions.node ?? 'unknown', dimensions: signature.dimensions }
  } catch (error) {
    return { type: 'refused', reason: 'engine_refused', message: error instanceof Error ? error.message : 'unknown' }
  }
}

async function embed({ session, signature }: Opened, batch: OnnxBatch, pooling: Pooling): Promise<Float32Array> {
  if (signature === undefined) throw new Error('a model that was refused is not asked')
  const { [signature.output]: output } = await session.run(feedsOf(signature, batch), [signature.output])
  if (!(output?.data instanceof Float32Array)) throw new Error('the model gave no vectors')
  return pooled(signature, batch, pooling, output.data)
}
