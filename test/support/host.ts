/** A real compute host with the bundled model, for tests. */

import type { LoadRequest } from '../../models/backend.ts'
import { CFAB_TINY, USE_LITE } from '../../models/catalogue.ts'
import { HOST_DEFAULTS, HostBackend, type HostBackendOptions } from '../../node/hosts/host-backend.ts'
import type { HostEvent } from '../../node/hosts/supervisor.ts'
import { systemClock } from '../../node/runtime/system.ts'

export const TINY_LOAD: LoadRequest = {
  format: 'gguf',
  path: CFAB_TINY.path,
  digest: CFAB_TINY.digest,
  contextTokens: CFAB_TINY.contextTokens,
  slotCount: 4,
  threads: 1,
  memoryBytesMax: 1_073_741_824,
  gpu: 'off',
}

/** The bundled sentence encoder. */
export const USE_LOAD: LoadRequest = {
  ...TINY_LOAD,
  format: 'onnx',
  path: USE_LITE.path,
  digest: USE_LITE.digest,
  contextTokens: USE_LITE.contextTokens,
  ...(USE_LITE.tokenizer === undefined ? {} : { tokenizer: USE_LITE.tokenizer }),
}

const created: HostBackend[] = []

/** For `test.after`: a test that failed halfway would otherwise keep its process alive by its host. */
export async function closeHosts(): Promise<void> {
  await Promise.all(created.map((backend) => backend.close()))
}

export function createHost(options: Partial<HostBackendOptions> = {}): {
  readonly backend: HostBackend
  readonly events: HostEvent[]
} {
  const events: HostEvent[] = []
  const ports = { clock: systemClock, onEvent: (event: HostEvent) => events.push(event) }
  const backend = new HostBackend({ ...HOST_DEFAULTS, ...options }, ports)
  created.push(backend)
  return { backend, events }
}
