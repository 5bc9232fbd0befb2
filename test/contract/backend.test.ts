import * as assert from 'uvu/assert'
import type { LoadRequest } from '../../models/backend.ts'
import { answerOf, LLAMA, NEVER, promptOf, requestOf } from '../support/ask-backend.ts'
import { changedLibraries, hasNativeEngine } from '../support/drivers.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { FAKE_LOAD, FakeBackend } from '../support/fake-backend.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { within } from '../support/within.ts'
import { type BackendTest, backendSuite } from './backend.suite.ts'

const WAITING_COUNT_MAX = 4
const LIMIT_MS = 20_000
// Before the first suite: what runs meanwhile would run beside the others.
const changedFolder = hasNativeEngine() ? await changedLibraries(/libllama\./) : undefined

backendSuite('fake', {
  create: () => new FakeBackend({ waitingCountMax: WAITING_COUNT_MAX }),
  request: FAKE_LOAD,
  waitingCountMax: WAITING_COUNT_MAX,
  limitMs: 5_000,
}).run()

function hosted(name: string, request: LoadRequest): BackendTest {
  const real = backendSuite(`llama.cpp in its host, cfab-tiny, ${name}`, {
    create: () => createHost({ waitingCountMax: WAITING_COUNT_MAX }).backend,
    request,
    waitingCountMax: WAITING_COUNT_MAX,
    limitMs: LIMIT_MS,
  })
  real.after(closeHosts)
  return real
}

const lockstep = hosted('lock-step', { ...TINY_LOAD, driver: 'lockstep' })
lockstep('the driver that was asked for runs', ({ model }) => {
  assert.is(model.driver.kind, 'lockstep')
})
lockstep.run()

if (changedFolder !== undefined) {
  const native = hosted('native', { ...TINY_LOAD, driver: 'native' })
  native('the native engine runs, and needs no reason', ({ model }) => {
    assert.equal(model.driver, { kind: 'native', reason: '' })
  })
  native('an answer follows its grammar, and one that cannot be read fails its own call alone', ({ backend }) =>
    within(LIMIT_MS, async () => {
      const request = { ...requestOf(await promptOf(backend)), sampling: LLAMA }
      const beside = answerOf(backend.generate(request, NEVER))
      const free = await answerOf(backend.generate({ ...request, grammar: 'root ::= "yes" | "no"' }, NEVER))
      assert.match(free.text, /^(?:yes|no)$/)
      assert.is(free.finish, 'stop')
      assert.is(
        await codeOf(answerOf(backend.generate({ ...request, grammar: 'root ::= (' }, NEVER))),
        'CF_JOB_INVALID',
      )
      assert.equal((await beside).ids, (await answerOf(backend.generate(request, NEVER))).ids)
    })(),
  )

  native('the native engine that was asked for by name is not replaced by another', () =>
    within(LIMIT_MS, async () => {
      const { backend } = createHost()
      const error = await failureOf(backend.load({ ...TINY_LOAD, driver: 'native', libraries: changedFolder }))
      assert.is(error.code, 'CF_MODEL_LOAD_FAILED')
      assert.is(error.detail['reason'], 'native_absent')
      assert.match(String(error.detail['cause']), /libllama/)
    })(),
  )
  native.run()

  const changed = hosted('one byte of a library changed', { ...TINY_LOAD, libraries: changedFolder })
  changed('lock-step takes over from libraries that are not the pinned ones, and says so', ({ model }) => {
    assert.is(model.driver.kind, 'lockstep')
    assert.match(model.driver.reason, /libllama.* is not the build/)
  })
  changed.run()
}
