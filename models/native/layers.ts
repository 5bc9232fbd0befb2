/** How many of a model's layers a device should hold. */
import type { GgufFileInfo } from 'node-llama-cpp'
import type { LoadRequest } from '../backend.ts'
import { shapeOf } from '../memory.ts'

/** What the device's driver, its scratch space and the activations of a batch take. */
const DEVICE_BYTES = 512 * 1_048_576

/**
 * As many layers as the request names, or as fit into the device's memory.
 *
 * @param freeBytes  memory of the devices that nobody uses
 * @returns          at most all layers and the output: one more than the model has
 */
export function layersOnDevice(
  request: LoadRequest,
  info: GgufFileInfo,
  fileBytes: number,
  contextTokens: number,
  freeBytes: number,
): number {
  const layers = (info.architectureMetadata.block_count ?? 0) + 1
  if (typeof request.gpuLayers === 'number') return Math.min(request.gpuLayers, layers)
  const cacheBytes = shapeOf(info).keyValueBytes * contextTokens * request.slotCount
  const layerBytes = (fileBytes + cacheBytes) / layers
  const room = Math.min(freeBytes, request.vramBytesMax ?? Number.POSITIVE_INFINITY) - DEVICE_BYTES
  return Math.max(0, Math.min(layers, Math.floor(room / layerBytes)))
}
