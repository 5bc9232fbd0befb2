/** Which models this node offers: bundled ones and pulled ones, each with a context that fits this machine. */
import { FabricError } from '../core/errors.ts'
import { CATALOGUE, type CatalogueEntry, findModel } from '../models/catalogue.ts'
import { findKnown } from '../models/catalogue-known.ts'
import { CONTEXT_TOKENS_MIN, contextThatFits, suggestModel } from '../models/fits.ts'
import {
  entryOf,
  findInstalled,
  hasFiles,
  installedModels,
  type Manifest,
  shapeOfManifest,
} from '../models/installed.ts'
import { encoderBytes } from '../models/memory.ts'
import type { Config } from './config.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'
import { NONE } from './settings.ts'

type Choice = Pick<Config, 'model' | 'slots' | 'paths' | 'memoryMax'>

/** @throws FabricError CF_MODEL_UNKNOWN, CF_MODEL_OUT_OF_MEMORY */
export async function chooseModel(config: Choice): Promise<CatalogueEntry> {
  const { model, slots, paths } = config
  const bundled = findModel(model)
  if (bundled !== undefined) return bundled
  const manifest = await findInstalled(paths.models, model)
  if (manifest === undefined)
    throw new FabricError('CF_MODEL_UNKNOWN', {
      model,
      ...(findKnown(model) === undefined ? {} : { reason: 'not_pulled' }),
    })
  const memoryBytesMax = memoryBytesOf(config)
  const contextTokens = servedContext(manifest, slots, memoryBytesMax)
  if (contextTokens === undefined) throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { model, memoryBytesMax })
  return entryOf(paths.models, manifest, contextTokens)
}

/**
 * The models of the start, the chat model first.
 *
 * @throws FabricError as `chooseModel`; CF_CONFIG_INVALID for a model of the other kind, and when there are more than may be in memory
 */
export async function startEntries(config: Config): Promise<readonly CatalogueEntry[]> {
  const chat = await startEntry(config, config.model, 'chat', 'model')
  if (config.embeddingModel === NONE) return [chat]
  if (config.modelsMax < 2)
    throw new FabricError('CF_CONFIG_INVALID', {
      key: 'models_max',
      expected: `2 or more, for the models of the start; or embedding_model ${NONE}`,
    })
  return [chat, await startEntry(config, config.embeddingModel, 'embedding', 'embedding_model')]
}

async function startEntry(
  config: Config,
  id: string,
  task: CatalogueEntry['task'],
  key: string,
): Promise<CatalogueEntry> {
  const entry = await chooseModel({ ...config, model: id })
  if (entry.task !== task)
    throw new FabricError('CF_CONFIG_INVALID', { key, model: id, expected: `a model for ${task}` })
  return entry
}

/**
 * Every model that can be asked for beside those of the start. One that would not fit is there too: whoever asks is told so.
 *
 * @param memoryBytesMax  what the models of the start leave
 * @throws FabricError CF_MODEL_STORE_FAILED
 */
export async function otherEntries(
  { paths, slots }: Pick<Config, 'paths' | 'slots'>,
  start: readonly CatalogueEntry[],
  memoryBytesMax: number,
): Promise<readonly CatalogueEntry[]> {
  const isNew = ({ id }: { readonly id: string }): boolean => !start.some((entry) => entry.id === id)
  const bundled = CATALOGUE.filter(isNew)
  const { manifests } = await installedModels(paths.models)
  const isWhole = await Promise.all(manifests.map((manifest) => hasFiles(paths.models, manifest)))
  const pulled = manifests.filter((manifest, index) => isWhole[index] && isNew(manifest) && !findModel(manifest.id))
  return [
    ...bundled,
    ...pulled.map((manifest) => {
      const shortest = Math.min(manifest.contextTokens, CONTEXT_TOKENS_MIN)
      return entryOf(paths.models, manifest, servedContext(manifest, slots, memoryBytesMax) ?? shortest)
    }),
  ]
}

/** Bytes that all models together may take. */
export function memoryBytesOf({ memoryMax }: Pick<Config, 'memoryMax'>): number {
  return memoryMax ?? defaultMemoryBytes()
}

/** @returns tokens of one sequence; undefined when the model does not fit this machine now */
export function servedContext(manifest: Manifest, slotCount: number, memoryBytesMax: number): number | undefined {
  const { bytes, contextTokens } = manifest
  if (manifest.format === 'onnx') return encoderBytes(bytes) <= memoryBytesMax ? contextTokens : undefined
  return contextThatFits({ bytes, contextTokens, shape: shapeOfManifest(manifest) }, slotCount, memoryBytesMax)
}

/**
 * One line for a node that has only what came with it; '' when it has more or nothing better fits.
 *
 * @param homeFlag  ` --home …` of this node, or ''
 */
export async function suggestion(config: Choice, homeFlag: string): Promise<string> {
  const { model, slots, paths } = config
  const { manifests } = await installedModels(paths.models)
  const isBundled = CATALOGUE.some(({ id }) => id === model)
  const better = manifests.length === 0 && isBundled ? suggestModel(slots, memoryBytesOf(config)) : undefined
  if (better?.bytes === undefined) return ''
  const size = `${(better.bytes / 1e9).toFixed(1)} GB`
  return `this machine fits ${better.id} (${size}): npx cfab-node models pull ${better.id}${homeFlag}`
}
