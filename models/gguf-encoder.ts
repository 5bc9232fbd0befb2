/** What a GGUF file says of a model that makes one vector of a text. */
import type { GgufFileInfo } from 'node-llama-cpp'
import type { LoadedModel, LoadRequest } from './backend.ts'

/** How the vectors of a text's tokens become one: their mean, the first one's, the last one's. */
export type GgufPooling = 'mean' | 'cls' | 'last'
export type GgufEncoder = { readonly pooling: GgufPooling; readonly dimensions: number }

/** llama.cpp's numbers for `<architecture>.pooling_type`. */
const POOLINGS: Readonly<Record<number, GgufPooling>> = { 1: 'mean', 2: 'cls', 3: 'last' }
const RANK = 4

/** @returns undefined for a model that generates, or does something else */
export function ggufEncoderOf(info: GgufFileInfo): GgufEncoder | undefined {
  const pooling = POOLINGS[numberOf(info, 'pooling_type') ?? 0]
  const dimensions = numberOf(info, 'embedding_length_out') ?? numberOf(info, 'embedding_length') ?? 0
  return pooling === undefined || dimensions < 1 ? undefined : { pooling, dimensions }
}

/** Whether the file holds a model that gives pairs of texts a number. */
export function isReranker(info: GgufFileInfo): boolean {
  return numberOf(info, 'pooling_type') === RANK
}

/** What a loaded encoder says of itself: its file holds the vocabulary too, so one digest stands for both. */
export function encoderModel(
  { digest, slotCount }: LoadRequest,
  found: Pick<LoadedModel, 'contextTokens' | 'dimensions' | 'vocabSize' | 'engineId' | 'driver'>,
): LoadedModel {
  return { ...found, digest, slotCount, templateDigest: digest, toolFormat: 'none', stopIds: [] }
}

function numberOf({ architectureMetadata }: GgufFileInfo, name: string): number | undefined {
  const found: unknown = Reflect.get(architectureMetadata ?? {}, name)
  return typeof found === 'number' && Number.isSafeInteger(found) ? found : undefined
}
