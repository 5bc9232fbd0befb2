import { FAKE_LOAD, FakeBackend } from '../support/fake-backend.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { backendSuite } from './backend.suite.ts'

const WAITING_COUNT_MAX = 4

backendSuite('fake', {
  create: () => new FakeBackend({ waitingCountMax: WAITING_COUNT_MAX }),
  request: FAKE_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 5_000,
}).run()

const real = backendSuite('llama.cpp in its host, cfab-tiny', {
  create: () => createHost({ waitingCountMax: WAITING_COUNT_MAX }).backend,
  request: TINY_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 20_000,
})
real.after(closeHosts)
real.run()
