/** The part of the Backend contract that is about where an answer ends and what is told beside its tokens. */
import * as assert from 'uvu/assert'
import type { GenerateRequest, SamplingSpec } from '../../models/backend.ts'
import { answerOf, GREEDY, LLAMA, NEVER, promptOf, requestOf, WARM } from '../support/ask-backend.ts'
import { within } from '../support/within.ts'
import type { BackendTest, BackendUnderTest } from './backend.suite.ts'

const SAMPLERS: readonly SamplingSpec[] = [GREEDY, WARM, LLAMA]
const STOP_CHARS = 5

export function outputTests(test: BackendTest, { limitMs }: BackendUnderTest): void {
  test('the token that completes a stop string is the last, under every sampler and at every length', ({ backend }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend)
      for (const sampling of SAMPLERS) {
        const request: GenerateRequest = { ...requestOf(promptIds), sampling }
        const whole = await answerOf(backend.generate(request, NEVER))
        const middle = Math.floor(whole.text.length / 2)
        const stop = whole.text.slice(middle, middle + STOP_CHARS)
        const stopped = await answerOf(backend.generate({ ...request, stop: ['never said', stop] }, NEVER))
        assert.is(stopped.finish, 'stop')
        assert.ok(stopped.text.includes(stop))
        assert.equal(stopped.ids, whole.ids.slice(0, stopped.ids.length))
        const before = stopped.batches.slice(0, -1).map(({ text }) => text)
        assert.not.ok(before.join('').includes(stop))
        const full = { ...request, stop: [stop], maxTokens: stopped.ids.length }
        assert.is((await answerOf(backend.generate(full, NEVER))).finish, 'stop')
        const short = { ...full, maxTokens: stopped.ids.length - 1 }
        assert.is((await answerOf(backend.generate(short, NEVER))).finish, 'length')
      }
    })())

  test('alternatives are told for each token, best first, when they are asked for', ({ backend, model }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend)
      for (const sampling of SAMPLERS) {
        const request = { ...requestOf(promptIds), sampling, topLogprobs: 7 }
        const { batches, text } = await answerOf(backend.generate(request, NEVER))
        const details = batches.flatMap((batch) => batch.details ?? [])
        const ids = batches.flatMap((batch) => batch.ids)
        assert.equal(
          details.map(({ id, logprob }) => ({ id, logprob })),
          batches.flatMap(({ ids: step, logprobs }) => step.map((id, index) => ({ id, logprob: logprobs[index] }))),
        )
        for (const { top } of details) {
          assert.is(top.length, 7)
          assert.ok(top.every(({ id, logprob }) => id < model.vocabSize && logprob <= 0))
          assert.ok(top.every(({ logprob }, rank) => logprob <= (top[rank - 1]?.logprob ?? 0)))
        }
        if (sampling === GREEDY)
          assert.equal(
            details.map(({ top }) => top[0]?.id),
            ids,
          )
        assert.not.ok(
          details.some(({ text: said, top }) => [said, ...top.map((t) => t.text)].join('').includes('\ufffd')),
        )
        assert.ok(details.every(({ text: said }) => text.includes(said)))
      }
    })())

  test('nothing is told beside tokens when it is not asked for, and no alternatives when none are', ({ backend }) =>
    within(limitMs, async () => {
      const request = requestOf(await promptOf(backend), 1, 5)
      const plain = await answerOf(backend.generate(request, NEVER))
      assert.ok(plain.batches.every((batch) => batch.details === undefined))
      const bare = await answerOf(backend.generate({ ...request, topLogprobs: 0 }, NEVER))
      assert.equal(
        bare.batches.map(({ details }) => details?.map(({ top }) => top)),
        bare.batches.map(({ ids }) => ids.map(() => [])),
      )
      assert.equal(bare.ids, plain.ids)
    })())
}
