/** Which model this node serves: a bundled one or a pulled one, with a context that fits this machine. */
import { FabricError } from '../core/errors.ts'
import { CATALOGUE, type CatalogueEntry, findModel } from '../models/catalogue.ts'
import { findKnown } from '../models/catalogue-known.ts'
import { contextThatFits, suggestModel } from '../models/fits.ts'
import { entryOf, findInstalled, installedModels, type Manifest } from '../models/installed.ts'
import type { Config } from './config.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'

/** @throws FabricError CF_MODEL_UNKNOWN, CF_MODEL_OUT_OF_MEMORY */
export async function chooseModel({ model, slots, paths }: Config): Promise<CatalogueEntry> {
  const bundled = findModel(model)
  if (bundled !== undefined) return bundled
  const manifest = await findInstalled(paths.models, model)
  if (manifest !== undefined) return servedEntry(paths.models, manifest, slots)
  throw new FabricError('CF_MODEL_UNKNOWN', {
    model,
    ...(findKnown(model) === undefined ? {} : { reason: 'not_pulled' }),
  })
}

function servedEntry(folder: string, manifest: Manifest, slotCount: number): CatalogueEntry {
  const contextTokens = servedContext(manifest, slotCount)
  if (contextTokens === undefined)
    throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { model: manifest.id, memoryBytesMax: defaultMemoryBytes() })
  return entryOf(folder, manifest, contextTokens)
}

/** @returns tokens of one sequence; undefined when the model does not fit this machine now */
export function servedContext(manifest: Manifest, slotCount: number): number | undefined {
  const { bytes, contextTokens, keyValueBytes, activationBytes } = manifest
  const need = { bytes, contextTokens, shape: { keyValueBytes, activationBytes } }
  return contextThatFits(need, slotCount, defaultMemoryBytes())
}

/**
 * One line for a node that has only what came with it; '' when it has more or nothing better fits.
 *
 * @param homeFlag  ` --home …` of this node, or ''
 */
export async function suggestion({ model, slots, paths }: Config, homeFlag: string): Promise<string> {
  const { manifests } = await installedModels(paths.models)
  const isBundled = CATALOGUE.some(({ id }) => id === model)
  const better = manifests.length === 0 && isBundled ? suggestModel(slots, defaultMemoryBytes()) : undefined
  if (better?.bytes === undefined) return ''
  const size = `${(better.bytes / 1e9).toFixed(1)} GB`
  return `this machine fits ${better.id} (${size}): npx cfab-node models pull ${better.id}${homeFlag}`
}
