/** What a calibration runs: model files by name or path, each in a compute host of its own. */
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { FabricError } from '../core/errors.ts'
import { fileDigest } from '../models/model-file.ts'
import type { ModelFile, OpenModel } from './calibration/engine.ts'
import type { Config } from './config.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { chooseModel, memoryBytesOf } from './model-choice.ts'
import { systemClock as clock } from './runtime/system.ts'

/** Longer contexts take memory and show nothing new. */
const CONTEXT_TOKENS = 1_024

/**
 * Finds a GGUF file.
 *
 * @param name  a path that ends in `.gguf`, or the id of a model that is bundled or pulled
 * @throws      FabricError CF_MODEL_UNKNOWN, CF_MODEL_UNSUPPORTED for a model that does not generate, CF_MODEL_LOAD_FAILED
 */
export async function modelFileOf(name: string, config: Config, cwd: string): Promise<ModelFile> {
  if (!name.endsWith('.gguf')) {
    const { id, task, path, digest, contextTokens } = await chooseModel({ ...config, model: name })
    if (task !== 'chat') throw new FabricError('CF_MODEL_UNSUPPORTED', { model: id, task })
    return { name: id, path, digest, contextTokens: Math.min(contextTokens, CONTEXT_TOKENS) }
  }
  const path = resolve(cwd, name)
  const isFile = await stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  )
  if (!isFile) throw new FabricError('CF_MODEL_UNKNOWN', { model: name, reason: 'no such file' })
  return { name: basename(name, '.gguf'), path, digest: await fileDigest(path), contextTokens: CONTEXT_TOKENS }
}

/** On the processor: a device of another kind is calibrated where there is one. */
export function opener(config: Pick<Config, 'memoryMax'>): OpenModel {
  return async ({ path, digest, contextTokens }, load, slotCount) => {
    const backend = new HostBackend(HOST_DEFAULTS, { clock, onEvent: () => undefined })
    const memoryBytesMax = memoryBytesOf(config)
    try {
      const file = { format: 'gguf', path, digest, contextTokens, gpu: 'off' } as const
      return { backend, model: await backend.load({ ...file, slotCount, memoryBytesMax, ...load }) }
    } catch (error) {
      await backend.close()
      throw error
    }
  }
}
