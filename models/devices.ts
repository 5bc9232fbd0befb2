/** Which devices could run a model here, and what is missing for those that could not. */
import { availableParallelism, cpus, totalmem } from 'node:os'
import { FabricError } from '../core/errors.ts'

export type Device = {
  readonly kind: 'cpu' | 'cuda' | 'vulkan' | 'metal'
  readonly name: string
  /** Memory of the device, bytes; of a CPU what this process may still take. */
  readonly memoryBytes: number
  readonly freeBytes: number
}

export type MissingDevice = { readonly kind: Device['kind']; readonly reason: string }
export type DeviceList = { readonly devices: readonly Device[]; readonly missing: readonly MissingDevice[] }

/**
 * Asks the engine's own libraries, one device kind after another.
 *
 * @throws FabricError CF_MODEL_LOAD_FAILED when not even the CPU engine is installed
 */
export async function listDevices(): Promise<DeviceList> {
  const library = await import('node-llama-cpp')
  const devices: Device[] = [processor()]
  const missing: MissingDevice[] = []
  for (const kind of await library.getLlamaGpuTypes('allValid')) {
    if (kind === false) continue
    try {
      devices.push(...(await devicesOf(library, kind)))
    } catch (error) {
      const known = error instanceof library.NoBinaryFoundError
      missing.push({ kind, reason: known ? 'its engine is not installed' : 'its engine finds no device or driver' })
    }
  }
  return { devices, missing }
}

function processor(): Device {
  const name = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`
  return {
    kind: 'cpu',
    name,
    // Without a limit the system answers with a number that no machine has.
    memoryBytes: Math.min(process.constrainedMemory() || totalmem(), totalmem()),
    freeBytes: process.availableMemory(),
  }
}

async function devicesOf(
  library: typeof import('node-llama-cpp'),
  kind: 'cuda' | 'vulkan' | 'metal',
): Promise<readonly Device[]> {
  const llama = await library.getLlama({
    ...{ gpu: kind, build: 'never', skipDownload: true, progressLogs: false },
    logLevel: library.LlamaLogLevel.disabled,
  })
  try {
    if (llama.gpu !== kind) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'device_absent', gpu: kind })
    const names = await llama.getGpuDeviceNames()
    const { total, free } = await llama.getVramState()
    // The library sums the memory over all devices of a kind.
    return [{ kind, name: names.join(', ') || 'unnamed', memoryBytes: total, freeBytes: free }]
  } finally {
    await llama.dispose()
  }
}
