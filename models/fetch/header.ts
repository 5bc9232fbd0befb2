/** What a GGUF file's header says of the model in it, read without starting an engine. */
import type { GgufFileInfo } from 'node-llama-cpp'
import { FabricError } from '../../core/errors.ts'
import { ggufEncoderOf, isReranker } from '../gguf-encoder.ts'
import { ggufFault } from '../gguf-structure.ts'
import { type ModelShape, shapeOf } from '../memory.ts'
import { templateDigestOf } from '../prompt.ts'

export type ModelFacts = {
  readonly architecture: string
  /** Millions of parameters, rounded up. */
  readonly megaParams: number
  /** For people, e.g. `1.5B`. */
  readonly parameters: string
  readonly quantisation: string
  /** What the model was trained with. */
  readonly contextTokens: number
  /** As the file says; '' when it does not. */
  readonly licence: string
  /** Absent of an encoder: it has no chat template. */
  readonly templateDigest?: string
  /** Length of one vector; 0 of a model that generates. */
  readonly dimensions: number
  readonly shape: ModelShape
}

const READ_MS_MAX = 60_000
const NAME_CHARS_MAX = 64
/** Models that write no text: without a way to make one vector of a text they are of no use here. */
const SILENT = /bert|embed|t5|clip|whisper|wavtokenizer/
/** Encoders in two parts, which are run in another way. */
const TWO_PARTS = /^t5/

/** @throws FabricError CF_MODEL_FORMAT_INVALID also for a model that neither chats nor embeds, CF_MODEL_STORE_FAILED */
export async function readModelFacts(path: string, fileBytes: number): Promise<ModelFacts> {
  await checkStructure(path)
  const library = await import('node-llama-cpp')
  const info = await library
    .readGgufFileInfo(path, {
      ...{ sourceType: 'filesystem', logWarnings: false, spliceSplitFiles: false },
      signal: AbortSignal.timeout(READ_MS_MAX),
    })
    .catch((error: unknown) => {
      throw new FabricError('CF_MODEL_FORMAT_INVALID', { reason: 'header_invalid' }, error)
    })
  return factsOf(info, fileBytes, library.GgufFileType)
}

async function checkStructure(path: string): Promise<void> {
  const fault = await ggufFault(path).catch((error: unknown) => {
    throw new FabricError('CF_MODEL_STORE_FAILED', { file: path }, error)
  })
  if (fault !== undefined) throw invalid(fault)
}

function factsOf(info: GgufFileInfo, fileBytes: number, types: Readonly<Record<string, string | number>>): ModelFacts {
  const { general } = info.metadata
  const architecture = plain(general?.architecture)
  const { context_length: contextTokens } = info.architectureMetadata ?? {}
  if ('split' in info.metadata && countOf(info.metadata.split, 'count') > 1) throw invalid('one_of_several_files')
  const encoder = ggufEncoderOf(info)
  checkUse(info, architecture, encoder !== undefined)
  const isComplete = architecture !== '' && Number.isSafeInteger(contextTokens) && Number(contextTokens) > 0
  if (!isComplete) throw invalid('header_invalid')
  const shape = shapeOf(info)
  if (!(Number.isFinite(shape.keyValueBytes) && Number.isFinite(shape.activationBytes))) throw invalid('header_invalid')
  const count = parameterCount(info, fileBytes)
  return {
    architecture,
    megaParams: Math.max(1, Math.ceil(count / 1e6)),
    parameters: shortCount(count),
    quantisation: plain(types[general?.file_type ?? -1]).replace(/^(?:MOSTLY|ALL)_/, '') || 'unknown',
    contextTokens: Number(contextTokens),
    licence: plain(general?.license),
    ...(encoder === undefined ? { templateDigest: templateDigestOf(info) } : {}),
    dimensions: encoder?.dimensions ?? 0,
    shape,
  }
}

function checkUse(info: GgufFileInfo, architecture: string, isEncoder: boolean): void {
  const { general } = info.metadata
  const kind = plain(general !== undefined && 'type' in general ? general.type : undefined) || 'model'
  const isUsable = isEncoder ? !TWO_PARTS.test(architecture) : !SILENT.test(architecture) && !isReranker(info)
  if (kind === 'model' && isUsable) return
  const reason = 'neither_chats_nor_embeds'
  throw new FabricError('CF_MODEL_FORMAT_INVALID', { reason, architecture, kind })
}

/** @throws CF_MODEL_FORMAT_INVALID also when a tensor begins behind the file's end: the file was cut before it was published */
function parameterCount(info: GgufFileInfo, fileBytes: number): number {
  let count = 0
  for (const { dimensions, fileOffset } of info.tensorInfo ?? []) {
    if (Number(fileOffset) >= fileBytes) throw invalid('tensors_missing')
    count += dimensions.reduce<number>((product, dimension) => product * Number(dimension), 1)
  }
  if (!(count > 0 && Number.isSafeInteger(count))) throw invalid('header_invalid')
  return count
}

function countOf(value: unknown, name: string): number {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
  return typeof found === 'number' ? found : 0
}

/** 2.4M, 494M, 1.5B: three figures at most. */
export function shortCount(count: number): string {
  const [unit, name] = count >= 1e9 ? [1e9, 'B'] : [1e6, 'M']
  const value = count / unit
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)}${name}`
}

/** Text of the file that is shown and kept: short and without control characters. */
function plain(value: unknown): string {
  return typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '').slice(0, NAME_CHARS_MAX) : ''
}

function invalid(reason: string): FabricError {
  return new FabricError('CF_MODEL_FORMAT_INVALID', { reason })
}
