/** What a GGUF file's header says of the model in it, read without starting an engine. */
import { open } from 'node:fs/promises'
import type { GgufFileInfo } from 'node-llama-cpp'
import { FabricError } from '../../core/errors.ts'
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
  readonly templateDigest: string
  readonly shape: ModelShape
}

const VERSIONS = [2, 3]
const TENSOR_COUNT_MAX = 65_536n
const FIELD_COUNT_MAX = 65_536n
const READ_MS_MAX = 60_000
const NAME_CHARS_MAX = 64
/** Header without its lists: magic, version, two counts. */
const HEAD_BYTES = 24
/** Models that read text and write none. */
const ENCODERS = /bert|embedding|t5encoder|clip|whisper|wavtokenizer/

/** @throws FabricError CF_MODEL_FORMAT_INVALID also for a model that does not chat, CF_MODEL_STORE_FAILED */
export async function readModelFacts(path: string, fileBytes: number): Promise<ModelFacts> {
  await checkHead(path)
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

/** The reader of the whole header believes the counts in it: they are bounded first. */
async function checkHead(path: string): Promise<void> {
  const head = Buffer.alloc(HEAD_BYTES)
  try {
    const file = await open(path, 'r')
    try {
      await file.read(head, 0, HEAD_BYTES, 0)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new FabricError('CF_MODEL_STORE_FAILED', { file: path }, error)
  }
  if (head.toString('latin1', 0, 4) !== 'GGUF') throw invalid('not_gguf')
  if (!VERSIONS.includes(head.readUInt32LE(4))) throw invalid('version_unknown')
  const [tensors, fields] = [head.readBigUInt64LE(8), head.readBigUInt64LE(16)]
  if (tensors === 0n || tensors > TENSOR_COUNT_MAX || fields > FIELD_COUNT_MAX) throw invalid('header_invalid')
}

function factsOf(info: GgufFileInfo, fileBytes: number, types: Readonly<Record<string, string | number>>): ModelFacts {
  const { general } = info.metadata
  const architecture = plain(general?.architecture)
  const { context_length: contextTokens } = info.architectureMetadata ?? {}
  if ('split' in info.metadata && countOf(info.metadata.split, 'count') > 1) throw invalid('one_of_several_files')
  const kind = plain(general !== undefined && 'type' in general ? general.type : undefined) || 'model'
  if (kind !== 'model' || ENCODERS.test(architecture))
    throw new FabricError('CF_MODEL_FORMAT_INVALID', { reason: 'not_a_chat_model', architecture, kind })
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
    templateDigest: templateDigestOf(info),
    shape,
  }
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
