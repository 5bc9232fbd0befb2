/** The models of a node in one list: bundled, installed, on their way, and what could be pulled. */
import { CATALOGUE, type CatalogueEntry } from '../../models/catalogue.ts'
import { KNOWN_MODELS, type KnownModel } from '../../models/catalogue-known.ts'
import { bytesOf, contextThatFits, needOf } from '../../models/fits.ts'
import { installedModels, type Manifest, partialModels } from '../../models/installed.ts'
import { encoderBytes } from '../../models/memory.ts'
import type { Config } from '../config.ts'
import { memoryBytesOf, servedContext } from '../model-choice.ts'
import { columns } from './print.ts'

export type ModelState = 'bundled' | 'installed' | 'partial' | 'available' | 'damaged'
export type ModelRow = {
  readonly id: string
  readonly task: string
  readonly parameters: string
  readonly quantisation: string
  /** Of the file; undefined where nobody has said. */
  readonly bytes: number | undefined
  /** What the model was trained with. */
  readonly contextTokens: number | undefined
  readonly licence: string
  readonly state: ModelState
  /** Tokens of one sequence that this machine has memory for; undefined when it has not even room for a short one. */
  readonly servedTokens: number | undefined
  readonly digest: string | undefined
  readonly source: string
}

/** @throws FabricError CF_MODEL_STORE_FAILED */
export async function modelRows(config: Config): Promise<readonly ModelRow[]> {
  const { paths, slots } = config
  const memoryBytes = memoryBytesOf(config)
  const { manifests, damaged } = await installedModels(paths.models)
  const partial = await partialModels(paths.models)
  const there = new Set([...manifests.map(({ id }) => id), ...damaged])
  const known = KNOWN_MODELS.filter(({ id }) => !there.has(id))
  const unnamed = partial.filter((id) => !there.has(id) && !known.some((model) => model.id === id))
  return [
    ...CATALOGUE.map(bundledRow),
    ...manifests.map((manifest) => installedRow(manifest, slots, memoryBytes)),
    ...damaged.map((id) => bareRow(id, 'damaged')),
    ...unnamed.map((id) => bareRow(id, 'partial')),
    ...known.map((model) => knownRow(model, partial.includes(model.id), slots, memoryBytes)),
  ]
}

function bundledRow(entry: CatalogueEntry): ModelRow {
  return { ...entry, state: 'bundled', servedTokens: entry.contextTokens, source: 'package' }
}

function installedRow(manifest: Manifest, slotCount: number, memoryBytes: number): ModelRow {
  return { ...manifest, state: 'installed', servedTokens: servedContext(manifest, slotCount, memoryBytes) }
}

function bareRow(id: string, state: ModelState): ModelRow {
  const none = { bytes: undefined, contextTokens: undefined, servedTokens: undefined, digest: undefined }
  return { id, state, task: '-', parameters: '-', quantisation: '-', licence: '-', source: '-', ...none }
}

function knownRow(model: KnownModel, isPartial: boolean, slotCount: number, memoryBytes: number): ModelRow {
  const { id, task, parameters, quantisation, contextTokens, licence, source, bytes, digest } = model
  const facts = { id, task, parameters, quantisation, contextTokens, licence, source, bytes, digest }
  return { ...facts, state: isPartial ? 'partial' : 'available', servedTokens: servedOf(model, slotCount, memoryBytes) }
}

function servedOf(model: KnownModel, slotCount: number, memoryBytes: number): number | undefined {
  if (model.task === 'chat') return contextThatFits(needOf(model), slotCount, memoryBytes)
  return encoderBytes(bytesOf(model)) <= memoryBytes ? model.contextTokens : undefined
}

export function modelTable(rows: readonly ModelRow[]): string {
  const head = ['ID', 'TASK', 'PARAMS', 'QUANT', 'SIZE', 'CONTEXT', 'LICENCE', 'STATE', 'FITS']
  const lines = rows.map((row) => {
    const { id, task, parameters, quantisation, licence, state } = row
    const context = row.contextTokens === undefined ? '-' : String(row.contextTokens)
    return [id, task, parameters, quantisation, sizeOf(row), context, licence, state, fitOf(row)]
  })
  return columns([head, ...lines])
}

/** `~` marks what was estimated from the number of weights. */
function sizeOf({ bytes, parameters, quantisation }: ModelRow): string {
  if (bytes !== undefined) return humanBytes(bytes)
  return parameters === '-' ? '-' : `~${humanBytes(bytesOf({ parameters, quantisation }))}`
}

function fitOf({ servedTokens, contextTokens }: ModelRow): string {
  if (contextTokens === undefined) return '-'
  return servedTokens === undefined ? 'no' : `yes, ${servedTokens} tokens`
}

/** Decimal units, as hubs and disks count. */
export function humanBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`
}
