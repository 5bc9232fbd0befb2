/** The part of the Backend contract that is about audits. */
import * as assert from 'uvu/assert'
import { answerOf, GREEDY, LLAMA, NEVER, promptOf, requestOf, WARM } from '../support/ask-backend.ts'
import { codeOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'
import type { BackendTest, BackendUnderTest } from './backend.suite.ts'

export function auditTests(test: BackendTest, { limitMs }: BackendUnderTest): void {
  test('an audit of honest output finds no margin at all, whatever runs beside it', ({ backend }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend, [{ role: 'user', content: 'Tell me about a red kite. '.repeat(12) }])
      const chunks = backend.schedule(promptIds.length)
      const requests = [WARM, GREEDY].map((sampling) => ({ ...requestOf(promptIds, 5, 100), sampling }))
      const answers = await Promise.all(requests.map((request) => answerOf(backend.generate(request, NEVER))))
      const audits = requests.map((request, index) => {
        const outputIds = Uint32Array.from(answers[index]?.ids ?? [])
        return backend.audit({ ...request, outputIds, chunks }, NEVER)
      })
      await answerOf(backend.generate(requestOf(promptIds, 6), NEVER))
      for (const [index, positions] of (await Promise.all(audits)).entries()) {
        const claimed = answers[index]?.ids ?? []
        assert.is(positions.length, claimed.length)
        assert.ok(positions.every(({ margin }) => margin === 0))
        assert.ok(positions.every(({ topIds, topLogits }) => topIds.length === topLogits.length))
        assert.equal(
          positions.map(({ topIds, rank }) => topIds[rank]),
          claimed,
        )
      }
    })())

  test('the text of an output is what was streamed for its ids, with and without control tokens', ({
    backend,
    model,
  }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend)
      for (const showControl of [false, true])
        for (const temperatureMilli of [0, 1_500]) {
          const sampling = { ...WARM, temperatureMilli }
          const request = { ...requestOf(promptIds, 3, 60), sampling, showControl }
          const { ids, text } = await answerOf(backend.generate(request, NEVER))
          const outputIds = Uint32Array.from(ids)
          assert.is(await backend.detokenize({ promptIds, outputIds, showControl }), text)
          assert.ok(text.startsWith(await backend.detokenize({ promptIds, outputIds: outputIds.subarray(0, 5) })))
        }
      assert.is(await backend.detokenize({ promptIds, outputIds: Uint32Array.from(model.stopIds.slice(0, 1)) }), '')
      const foreign = { promptIds, outputIds: Uint32Array.of(model.vocabSize) }
      assert.is(await codeOf(backend.detokenize(foreign)), 'CF_JOB_INVALID')
    })())

  test('an audit of changed output shows where', ({ backend, model }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend)
      const { seed, sampling } = requestOf(promptIds)
      const { ids } = await answerOf(backend.generate(requestOf(promptIds), NEVER))
      const place = Math.floor(ids.length / 2)
      const outputIds = Uint32Array.from(ids, (id, index) => (index === place ? (id + 1) % model.vocabSize : id))
      const audit = { promptIds, outputIds, sampling, seed, chunks: backend.schedule(promptIds.length) }
      const positions = await backend.audit(audit, NEVER)
      assert.ok(positions.slice(0, place).every(({ margin }) => margin === 0))
      assert.ok((positions[place]?.margin ?? 0) > 0)
    })())

  test('an audit that cannot be made is refused or given up', ({ backend }) =>
    within(limitMs, async () => {
      const ids = Uint32Array.of(5, 6, 7)
      const fine = { ...requestOf(ids), outputIds: ids, chunks: [3] }
      for (const chunks of [[2], [4], [], [3, 0], [64]])
        assert.is(await codeOf(backend.audit({ ...fine, chunks }, NEVER)), 'CF_JOB_INVALID')
      assert.is(await codeOf(backend.audit({ ...fine, outputIds: new Uint32Array() }, NEVER)), 'CF_JOB_INVALID')
      assert.is(await codeOf(backend.audit({ ...fine, sampling: LLAMA }, NEVER)), 'CF_MODEL_UNSUPPORTED')
      assert.match(await codeOf(backend.audit(fine, AbortSignal.abort())), 'AbortError')
    })())
}
