/** Settings of the engine that make no sense together are refused before anything is loaded. */
import { FabricError } from '../core/errors.ts'
import type { EngineSettings } from './load-request.ts'

/** @throws FabricError CF_CONFIG_INVALID with the key */
export function checkEngineSettings(settings: EngineSettings): void {
  const { gpu, engine, gpuLayers, maxVram, tensorSplit, kvType, flashAttention, prefixCache } = settings
  const isOff = gpu === 'off'
  const isLockstep = engine === 'lockstep'
  if (isOff && gpuLayers !== 'auto' && gpuLayers > 0) refuse('gpu_layers', NEEDS_DEVICE)
  if (isOff && maxVram !== null) refuse('max_vram', NEEDS_DEVICE)
  if (isOff && tensorSplit.length > 0) refuse('tensor_split', NEEDS_DEVICE)
  if (isLockstep && maxVram !== null) refuse('max_vram', NEEDS_NATIVE)
  if (isLockstep && tensorSplit.length > 0) refuse('tensor_split', NEEDS_NATIVE)
  if (isLockstep && prefixCache > 0) refuse('prefix_cache', NEEDS_NATIVE)
  if (kvType !== 'f16' && !flashAttention) refuse('kv_type', 'f16, unless flash_attention is on')
}

const NEEDS_DEVICE = 'none without a device: say which with gpu'
const NEEDS_NATIVE = 'none with engine lockstep, which has no such setting'

function refuse(key: string, expected: string): never {
  throw new FabricError('CF_CONFIG_INVALID', { key, expected })
}
