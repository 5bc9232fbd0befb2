import { join } from 'node:path'
import type { LoadRequest } from '../../models/backend.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { FAKE_EMBED_LOAD, FakeBackend } from '../support/fake-backend.ts'
import { GGUF_POOLING, ggufEncoderLoad } from '../support/gguf-file.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { embeddingSuite } from './embedding.suite.ts'

const WAITING_COUNT_MAX = 4

embeddingSuite('fake', {
  create: () => new FakeBackend({ waitingCountMax: WAITING_COUNT_MAX }),
  request: FAKE_EMBED_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 5_000,
}).run()

function hosted(name: string, request: LoadRequest): void {
  const real = embeddingSuite(name, {
    create: () => createHost({ waitingCountMax: WAITING_COUNT_MAX }).backend,
    request,
    waitingCountMax: WAITING_COUNT_MAX,
    limitMs: 20_000,
  })
  real.after(closeHosts)
  real.run()
}

hosted('onnxruntime in its host, use-lite-en', USE_LOAD)

const folder = tempFolder()
for (const pooling of ['mean', 'last'] as const) {
  const request = ggufEncoderLoad(join(folder, `${pooling}.gguf`), GGUF_POOLING[pooling])
  hosted(`llama.cpp in its host, ${pooling} of cfab-tiny, lock-step`, { ...request, driver: 'lockstep' })
  if (hasNativeEngine())
    hosted(`llama.cpp in its host, ${pooling} of cfab-tiny, native`, { ...request, driver: 'native' })
}
