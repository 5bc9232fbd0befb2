/** The part of the Backend contract that is about going on with an output that another worker began. */
import * as assert from 'uvu/assert'
import type { Backend, GenerateRequest, SamplingSpec } from '../../models/backend.ts'
import { type Answer, answerOf, GREEDY, LLAMA, NEVER, promptOf, requestOf } from '../support/ask-backend.ts'
import { codeOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'
import type { BackendTest, BackendUnderTest } from './backend.suite.ts'

const CUTS = [1, 7, 64, 200]
const TOKENS = 230
const WARM: SamplingSpec = { kind: 'gumbel-v1', temperatureMilli: 800, topK: 40 }
const STOP_CHARS = 6

/** What was told by the batches that hold the first `cut` ids. */
function textBefore({ batches }: Answer, cut: number): string {
  return batches
    .slice(0, cut)
    .map(({ text }) => text)
    .join('')
}

async function assertGoesOn(backend: Backend, request: GenerateRequest, whole: Answer, cut: number): Promise<void> {
  const prefixIds = Uint32Array.from(whole.ids.slice(0, cut))
  const rest = await answerOf(backend.generate({ ...request, prefixIds }, NEVER))
  assert.equal(rest.ids, whole.ids.slice(cut), `ids after a cut at ${cut}`)
  assert.is(textBefore(whole, cut) + rest.text, whole.text, `text after a cut at ${cut}`)
  assert.is(rest.finish, whole.finish)
  assert.equal(
    rest.batches.map(({ details }) => details),
    whole.batches.slice(cut).map(({ details }) => details),
  )
}

export function resumeTests(test: BackendTest, { limitMs }: BackendUnderTest): void {
  test('an output goes on after what another worker said with the same ids, text and end', ({ backend }) =>
    within(limitMs, async () => {
      const promptIds = await promptOf(backend)
      for (const sampling of [GREEDY, WARM, LLAMA]) {
        const request = { ...requestOf(promptIds, 5, TOKENS), sampling, topLogprobs: 2 }
        const whole = await answerOf(backend.generate(request, NEVER))
        const last = whole.ids.length - 1
        for (const cut of new Set([...CUTS.filter((at) => at < last), last]))
          await assertGoesOn(backend, request, whole, cut)
      }
    })())

  test('a stop string that begins in what another worker said ends the output where it would have ended', ({
    backend,
  }) =>
    within(limitMs, async () => {
      const request = { ...requestOf(await promptOf(backend), 3), sampling: WARM }
      const whole = await answerOf(backend.generate(request, NEVER))
      const from = Math.floor(whole.text.length / 2)
      const stopping = { ...request, stop: [whole.text.slice(from, from + STOP_CHARS)] }
      const stopped = await answerOf(backend.generate(stopping, NEVER))
      assert.is(stopped.finish, 'stop')
      const last = stopped.ids.length - 1
      for (const cut of [last, last - 1]) await assertGoesOn(backend, stopping, stopped, cut)
    })())

  test('no prefix is an empty one, and one that leaves nothing to say, has ended or is of another model is refused', ({
    backend,
    model,
  }) =>
    within(limitMs, async () => {
      const request = requestOf(await promptOf(backend), 1, 5)
      const whole = await answerOf(backend.generate(request, NEVER))
      assert.equal(
        (await answerOf(backend.generate({ ...request, prefixIds: new Uint32Array(0) }, NEVER))).ids,
        whole.ids,
      )
      for (const ids of [whole.ids.concat(whole.ids).slice(0, 5), model.stopIds.slice(0, 1), [model.vocabSize]])
        assert.is(
          await codeOf(answerOf(backend.generate({ ...request, prefixIds: Uint32Array.from(ids) }, NEVER))),
          'CF_JOB_INVALID',
        )
    })())
}
