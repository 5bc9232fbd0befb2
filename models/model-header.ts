/** What a model file's header says before anything is loaded: whether it is one, and whether it fits. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { GgufFileInfo, readGgufFileInfo } from 'node-llama-cpp'
import { FabricError } from '../core/errors.ts'
import type { LoadRequest } from './backend.ts'
import { type GgufEncoder, ggufEncoderOf } from './gguf-encoder.ts'
import { ggufFault } from './gguf-structure.ts'
import { estimateBytes, shapeOf, tokensOf } from './memory.ts'

export type ModelHeader = {
  readonly info: GgufFileInfo
  /** Of one sequence: what was asked for, at most what the model was trained with. */
  readonly contextTokens: number
  /** Absent: it generates. */
  readonly encoder?: GgufEncoder
}

type Reader = { readonly readGgufFileInfo: typeof readGgufFileInfo }

/** @throws FabricError CF_MODEL_LOAD_FAILED header_invalid, CF_MODEL_OUT_OF_MEMORY */
export async function checkHeader(request: LoadRequest, fileBytes: number): Promise<ModelHeader> {
  const info = await readHeader(request.path)
  const trained = info.architectureMetadata?.context_length
  if (trained === undefined || !Number.isSafeInteger(trained) || trained < 1 || hasTwins(info)) throw invalid()
  const contextTokens = Math.min(request.contextTokens, trained)
  const bytes = estimateBytes(shapeOf(info), fileBytes, { ...request, contextTokens })
  if (!Number.isFinite(bytes)) throw invalid()
  const { memoryBytesMax } = request
  if (bytes > memoryBytesMax) throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { bytes, memoryBytesMax })
  const encoder = ggufEncoderOf(info)
  return { info, contextTokens, ...(encoder === undefined ? {} : { encoder }) }
}

async function readHeader(path: string): Promise<GgufFileInfo> {
  const options = { sourceType: 'filesystem', logWarnings: false, spliceSplitFiles: false } as const
  const { readGgufFileInfo } = await loadReader()
  return attempt('header_invalid', async () => {
    if ((await ggufFault(path)) !== undefined) throw invalid()
    return readGgufFileInfo(path, options)
  })
}

/** llama.cpp ends the process over two tokens of one text, read up to a zero; it gives empty ones names of their own. */
function hasTwins(info: GgufFileInfo): boolean {
  const texts = tokensOf(info).map((token) => String(token).split('\0', 1).join(''))
  // Bytes that are no character are all read as the same one.
  const named = texts.filter((text) => text !== '' && !text.includes('\ufffd'))
  return new Set(named).size < named.length
}

function invalid(): FabricError {
  return new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'header_invalid' })
}

/** Alone where it lies as in the version that is pinned: the whole package takes a quarter of a second more. */
async function loadReader(): Promise<Reader> {
  const entry = fileURLToPath(import.meta.resolve('node-llama-cpp'))
  const alone = pathToFileURL(join(entry, '..', 'gguf', 'readGgufFileInfo.js')).href
  const loaded: Promise<Reader> = import(alone)
  return loaded.catch(() => import('node-llama-cpp'))
}

/** Names what failed; an engine that ran out of memory says so in the name of its error. */
export async function attempt<T>(reason: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof FabricError) throw error
    const isMemory = error instanceof Error && error.constructor.name === 'InsufficientMemoryError'
    throw new FabricError(isMemory ? 'CF_MODEL_OUT_OF_MEMORY' : 'CF_MODEL_LOAD_FAILED', { reason }, error)
  }
}
