import { FAKE_EMBED_LOAD, FakeBackend } from '../support/fake-backend.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { embeddingSuite } from './embedding.suite.ts'

const WAITING_COUNT_MAX = 4

embeddingSuite('fake', {
  create: () => new FakeBackend({ waitingCountMax: WAITING_COUNT_MAX }),
  request: FAKE_EMBED_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 5_000,
}).run()

const real = embeddingSuite('onnxruntime in its host, use-lite-en', {
  create: () => createHost({ waitingCountMax: WAITING_COUNT_MAX }).backend,
  request: USE_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 20_000,
})
real.after(closeHosts)
real.run()
