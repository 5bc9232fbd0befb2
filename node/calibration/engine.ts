/** A model opened in one variant: outputs in, margins out, with a bounded number of calls at once. */
import { FabricError } from '../../core/errors.ts'
import type { AuditPosition, Backend, LoadedModel } from '../../models/backend.ts'
import type { Claim, Wish } from './outputs.ts'
import { shortened } from './outputs.ts'
import type { Prompt } from './prompts.ts'
import type { Variant } from './variants.ts'

/** A GGUF file to run. */
export type ModelFile = {
  readonly name: string
  readonly path: string
  readonly digest: string
  readonly contextTokens: number
}

/** Opens a model; the caller closes the backend. @throws FabricError CF_MODEL_* */
export type OpenModel = (
  file: ModelFile,
  load: Variant['load'],
  slotCount: number,
) => Promise<{ readonly backend: Backend; readonly model: LoadedModel }>

export type Engine = {
  readonly backend: Backend
  readonly model: LoadedModel
  close(): Promise<void>
}

/** Sequences computed together when outputs are made beside others. */
export const SLOTS = 8
const CALL_MS_MAX = 600_000

export async function openEngine(open: OpenModel, file: ModelFile, variant: Variant): Promise<Engine> {
  const { backend, model } = await open(file, variant.load, SLOTS)
  return { backend, model, close: () => backend.close() }
}

/** Opens one, or says that this processor or system cannot run it. @returns undefined for that */
export async function tryEngine(open: OpenModel, file: ModelFile, variant: Variant): Promise<Engine | undefined> {
  try {
    return await openEngine(open, file, variant)
  } catch (error) {
    // The model itself is fine when the first variant has loaded it.
    if (error instanceof FabricError && error.code === 'CF_MODEL_LOAD_FAILED') return undefined
    throw error
  }
}

/** Ids of a prompt, as a job would send them, cut to what leaves room for the output. */
export async function promptIdsOf(
  { backend, model }: Engine,
  prompt: Prompt,
  roomTokens: number,
): Promise<Uint32Array> {
  const hasTemplate = model.toolFormat !== 'none'
  const text =
    prompt.form === 'turn' && hasTemplate ? await backend.render([{ role: 'user', content: prompt.text }]) : prompt.text
  const ids = await backend.tokenize(text, true)
  return shortened(ids, Math.max(1, model.contextTokens - roomTokens))
}

/** Runs a wish to its end. */
export async function generateIds({ backend }: Engine, wish: Wish): Promise<readonly number[]> {
  const { promptIds, sampling, seed, maxTokens } = wish
  const ids: number[] = []
  const request = { promptIds, sampling, seed, maxTokens, stop: [] }
  for await (const batch of backend.generate(request, AbortSignal.timeout(CALL_MS_MAX))) ids.push(...batch.ids)
  return ids
}

export function auditClaim({ backend }: Engine, claim: Claim): Promise<readonly AuditPosition[]> {
  const { promptIds, sampling, seed, outputIds } = claim
  const chunks = backend.schedule(promptIds.length)
  return backend.audit({ promptIds, outputIds, sampling, seed, chunks }, AbortSignal.timeout(CALL_MS_MAX))
}

/** Does the work for every item, so many at once, and keeps the order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) {
      const item = items[at]
      if (item !== undefined) results[at] = await work(item)
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return results
}
