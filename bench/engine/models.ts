/** What is measured: a model of a real one's size, and one of the bundled model's shape, where the engine's surroundings weigh most. */
import { join } from 'node:path'
import type { LoadRequest } from '../../models/backend.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { REFERENCES_FOLDER, SOURCE_FOLDER } from './references.ts'
import { SHAPE_125M, SHAPE_TINY, type Shape, synthesise } from './synth.ts'

export type Model = {
  readonly name: string
  readonly path: string
  readonly digest: string
  readonly contextTokens: number
  /** Where it runs, ours and theirs. */
  readonly gpu: LoadRequest['gpu']
}

export type Models = { readonly large: Model; readonly tiny: Model }

const VOCABULARY = join(SOURCE_FOLDER, 'models', 'ggml-vocab-llama-spm.gguf')

/** Makes the files the first time: half a second. */
export async function benchModels(gpu: LoadRequest['gpu']): Promise<Models> {
  return {
    large: await model('125m', VOCABULARY, SHAPE_125M, gpu),
    tiny: await model('tiny', CFAB_TINY.path, SHAPE_TINY, gpu),
  }
}

async function model(name: string, vocabulary: string, shape: Shape, gpu: LoadRequest['gpu']): Promise<Model> {
  const path = join(REFERENCES_FOLDER, `synth-${name}-q8_0.gguf`)
  const digest = await synthesise(path, vocabulary, shape)
  return { name, path, digest, contextTokens: shape.contextTokens, gpu }
}
