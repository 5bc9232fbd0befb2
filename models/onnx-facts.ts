/** What an ONNX encoder says of itself when it is opened once, as it would be to serve. */
import { availableParallelism } from 'node:os'
import { FabricError } from '../core/errors.ts'
import { shortCount } from './fetch/header.ts'
import type { OnnxEncoderManifest } from './installed.ts'
import { fileDigest } from './model-file.ts'
import { openOnnx } from './onnx.ts'
import type { Pooling } from './onnx-signature.ts'

export type EncoderFacts = Pick<
  OnnxEncoderManifest,
  'parameters' | 'megaParams' | 'quantisation' | 'contextTokens' | 'dimensions'
>

const F32_BYTES = 4
/** More than any encoder reads: the vocabulary's own bound counts. */
const CONTEXT_TOKENS_MAX = 131_072

/**
 * Opens a model with its vocabulary and computes one vector.
 *
 * @throws FabricError CF_MODEL_FORMAT_INVALID when it is no encoder that can be served, CF_MODEL_DIGEST_MISMATCH, CF_MODEL_STORE_FAILED
 */
export async function readEncoderFacts(
  path: string,
  bytes: number,
  tokenizer: { readonly path: string; readonly digest: string },
  pooling: Pooling,
): Promise<EncoderFacts> {
  const digest = await fileDigest(path)
  const count = bytes / F32_BYTES
  const { model, close } = await open({ path, digest, tokenizer, pooling })
  await close()
  const { contextTokens, dimensions } = model
  const megaParams = Math.max(1, Math.ceil(count / 1e6))
  return { parameters: `~${shortCount(count)}`, megaParams, quantisation: 'unknown', contextTokens, dimensions }
}

async function open(files: {
  readonly path: string
  readonly digest: string
  readonly tokenizer: { readonly path: string; readonly digest: string }
  readonly pooling: Pooling
}) {
  try {
    return await openOnnx(
      {
        ...{ format: 'onnx', gpu: 'off', slotCount: 1, contextTokens: CONTEXT_TOKENS_MAX, ...files },
        ...{ threads: availableParallelism(), memoryBytesMax: Number.MAX_SAFE_INTEGER },
      },
      '',
    )
  } catch (error) {
    if (!(error instanceof FabricError) || error.code !== 'CF_MODEL_LOAD_FAILED') throw error
    throw new FabricError('CF_MODEL_FORMAT_INVALID', { ...error.detail, format: 'onnx' }, error)
  }
}
