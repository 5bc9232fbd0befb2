/** What a compute host is asked to load: the file as the catalogue has it, and how, as the settings say. */
import type { LoadRequest } from '../models/backend.ts'
import type { CatalogueEntry } from '../models/catalogue.ts'
import { EMBEDDING_THREADS } from './hosts/machine.ts'
import type { Settings } from './settings.ts'

export type EngineSettings = Pick<
  Settings,
  | 'threads'
  | 'slots'
  | 'engine'
  | 'gpu'
  | 'gpuLayers'
  | 'maxVram'
  | 'tensorSplit'
  | 'kvType'
  | 'flashAttention'
  | 'prefixCache'
>

/** @param memoryBytesMax  the load is refused when the estimate exceeds it */
export function loadRequest(settings: EngineSettings, entry: CatalogueEntry, memoryBytesMax: number): LoadRequest {
  const { format, path, digest, contextTokens, tokenizer, pooling, task } = entry
  return {
    ...{ format, path, digest, contextTokens, memoryBytesMax, slotCount: settings.slots },
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(pooling === undefined ? {} : { pooling }),
    threads: format === 'onnx' ? EMBEDDING_THREADS : settings.threads,
    driver: settings.engine,
    ...(task === 'embedding' ? ENCODER : deviceOf(settings)),
  }
}

/** Replicas of an embedding are compared by cosine in a narrow band: on a processor, whatever runs the chat model. */
const ENCODER = { gpu: 'off' } as const

function deviceOf(settings: EngineSettings): Partial<LoadRequest> & Pick<LoadRequest, 'gpu'> {
  const { gpu, gpuLayers, maxVram, tensorSplit, kvType, flashAttention, prefixCache } = settings
  return {
    ...{ gpu, gpuLayers, kvType, flashAttention, cachedSequences: prefixCache },
    ...(maxVram === null ? {} : { vramBytesMax: maxVram }),
    ...(tensorSplit.length === 0 ? {} : { tensorSplit }),
  }
}
