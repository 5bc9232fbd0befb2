/** The compute host alone, as `cfab-node bench` measures it: no swarm, no ledger, no HTTP. */
import { FabricError } from '../core/errors.ts'
import type { Backend, LoadedModel } from '../models/backend.ts'
import type { CatalogueEntry } from '../models/catalogue.ts'
import type { Config } from './config.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'
import { loadRequest } from './load-request.ts'
import { chooseModel } from './model-choice.ts'
import { systemClock as clock } from './runtime/system.ts'

export type BenchHost = { readonly entry: CatalogueEntry; readonly backend: Backend; readonly model: LoadedModel }

/** @throws FabricError CF_MODEL_UNKNOWN, CF_MODEL_UNSUPPORTED for a model that does not generate, CF_MODEL_LOAD_FAILED, ... */
export async function openForBench(config: Config, slotCount: number): Promise<BenchHost> {
  const entry = await chooseModel(config)
  if (entry.task !== 'chat') throw new FabricError('CF_MODEL_UNSUPPORTED', { model: entry.id, task: entry.task })
  const backend = new HostBackend(HOST_DEFAULTS, { clock, onEvent: () => undefined })
  try {
    const model = await backend.load(loadRequest({ ...config, slots: slotCount }, entry, defaultMemoryBytes()))
    return { entry, backend, model }
  } catch (error) {
    await backend.close()
    throw error
  }
}
