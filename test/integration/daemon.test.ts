/** Jobs through the whole daemon over an engine that fails and lies on command: who is paid, what the client gets, and that it ends. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes, u32be } from '../../core/codec/bytes.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import { parseSwarmId } from '../../core/ids.ts'
import { intentCodec, NO_SAMPLING } from '../../core/log/intent.ts'
import type { GenerateRequest } from '../../models/backend.ts'
import { textAt } from '../../node/commands/json.ts'
import { pathsOf } from '../../node/paths.ts'
import { systemRandom } from '../../node/runtime/system.ts'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { answerIds } from '../support/fake-backend.ts'
import { assertBooks, chat, settledJob, submit, type Wish, withFakeDaemon } from '../support/fake-daemon.ts'
import { intentOfAlice } from '../support/log-swarm.ts'
import { parsed } from '../support/spawned-node.ts'
import { within } from '../support/within.ts'

const STOP = 1
/** The text of a streamed chat, put together. */
const deltasOf = (body: string): string =>
  [...body.matchAll(/"content":("(?:[^"\\]|\\.)*")/g)].map(([, text = '""']) => JSON.parse(text)).join('')
/** Another honest-looking text: the same words in another order of bytes. */
const reversed = (ids: readonly number[]): readonly number[] => [...ids.slice(0, -1).reverse(), STOP]
/** All but the last byte: close to the original. */
const shortened = (ids: readonly number[]): readonly number[] => [...ids.slice(0, -2), STOP]
const byIndex =
  <T>(...faults: readonly (T | undefined)[]) =>
  (_request: GenerateRequest, index: number): T | undefined =>
    faults[index]

test(
  'three workers that agree all earn base and bonus',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const { verdicts, pay, facts } = await settledJob(url, await submit(url, { replicas: 3 }))
      assert.equal(verdicts, ['pass', 'pass', 'pass'])
      assert.equal(pay, ['base+bonus', 'base+bonus', 'base+bonus'])
      assert.is(facts.authority, 'certificate')
      await assertBooks(url)
    }),
  ),
)

test(
  'replicas say the same unless the request asks for seeds of their own, and a seed that it gives is theirs all',
  within(20_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const verdictsOf = async (wish: Wish) =>
        (await settledJob(url, await submit(url, { replicas: 3, temperature: 1, ...wish }))).verdicts
      for (const same of [{}, { seeds: 'shared' }, { seed: 7 }, { seed: 7, seeds: 'hidden' }])
        assert.equal(await verdictsOf(same), ['pass', 'pass', 'pass'], JSON.stringify(same))
      for (const own of [{ seeds: 'split' }, { seed: 7, seeds: 'split' }])
        assert.equal(await verdictsOf(own), ['inconclusive', 'inconclusive', 'inconclusive'], JSON.stringify(own))
      assert.equal(await verdictsOf({ seeds: 'split', temperature: 0 }), ['pass', 'pass', 'pass'])
    }),
  ),
)

test(
  'a swarm of one owner has no witnesses, so that no speed can be paid for in it',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const body = JSON.stringify({ model: 'cfab-tiny', prompt: 'x', speed: 20 })
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${url}/api/v1/p2p/intents`, { method: 'POST', headers, body })
      assert.is(answer.status, 400)
      const refusal: unknown = await answer.json()
      assert.is(textAt(refusal, 'error', 'code'), 'CF_JOB_INVALID')
      assert.match(textAt(refusal, 'error', 'message'), 'field speed')
      await assertBooks(url)
    }),
  ),
)

test(
  'one of three that says something else is inconclusive: it earns base and no bonus, and is not the answer',
  within(10_000, () =>
    withFakeDaemon({ faultOf: byIndex(undefined, { edit: reversed }, undefined) }, async ({ url }) => {
      const { job, verdicts, pay } = await settledJob(url, await submit(url, { replicas: 3, verify: 'before' }))
      assert.equal([...verdicts].sort(), ['inconclusive', 'pass', 'pass'])
      assert.equal([...pay].sort(), ['base', 'base+bonus', 'base+bonus'])
      assert.is(pay[verdicts.indexOf('inconclusive')], 'base')
      assert.ok(textAt(job, 'text').endsWith('.'), 'the honest text is the answer')
      await assertBooks(url)
    }),
  ),
)

test(
  'three answers that all differ: the one closest to the others is the answer, and nobody earns a bonus',
  within(10_000, () =>
    withFakeDaemon({ faultOf: byIndex({ edit: reversed }, undefined, { edit: shortened }) }, async ({ url }) => {
      const { job, verdicts, pay } = await settledJob(url, await submit(url, { replicas: 3, verify: 'before' }))
      assert.equal(verdicts, ['inconclusive', 'inconclusive', 'inconclusive'])
      assert.equal(pay, ['base', 'base', 'base'])
      assert.not.ok(textAt(job, 'text').startsWith('.'), 'the reversed text is not the answer')
      await assertBooks(url)
    }),
  ),
)

test(
  'a worker that dies costs its own pay and nothing else',
  within(10_000, () =>
    withFakeDaemon({ faultOf: byIndex({ failAt: 3 }) }, async ({ url }) => {
      const { verdicts, pay } = await settledJob(url, await submit(url, { replicas: 3, verify: 'before' }))
      assert.equal([...verdicts].sort(), ['fail', 'pass', 'pass'])
      assert.is(pay[verdicts.indexOf('fail')], '')
      assert.equal([...pay].sort(), ['', 'base+bonus', 'base+bonus'])
      await assertBooks(url)
    }),
  ),
)

test(
  'when every worker dies the whole hold comes back, and a chat is a coded error',
  within(10_000, () =>
    withFakeDaemon({ faultOf: () => ({ failAt: 2 }) }, async ({ url }) => {
      const { job, facts } = await settledJob(url, await submit(url, { replicas: 3 }))
      assert.is(textAt(job, 'outcome'), 'refunded')
      assert.is(textAt(job, 'reason'), 'all_replicas_lost')
      assert.is(textAt(job, 'refund'), textAt(job, 'hold'))
      assert.is(facts.settlement.cost, 0n)
      const answer = await chat(url, { cfab: { verify: 'before' } })
      assert.is(answer.status, 503)
      assert.is(textAt(parsed(answer), 'error', 'code'), 'CF_WORKER_HOST_LOST')
      await assertBooks(url)
    }),
  ),
)

test(
  'when the worker whose tokens the client reads dies, another replica goes on where it stopped',
  within(10_000, () => {
    const faultOf = byIndex({ failAt: 20 }, { stepMs: 5 }, { stepMs: 5 })
    return withFakeDaemon({ faultOf }, async ({ url }) => {
      const answer = await chat(url, { stream: true, cfab: { replicas: 3 } })
      assert.is(answer.status, 200)
      assert.ok(answer.body.trimEnd().endsWith('data: [DONE]'))
      const { job, facts, verdicts } = await settledJob(url, String(answer.headers['x-cfab-job']))
      assert.equal([...verdicts].sort(), ['fail', 'pass', 'pass'])
      assert.is(deltasOf(answer.body), textAt(job, 'text'))
      assert.is(facts.delivery?.segments.length, 2)
      assert.is(facts.delivery?.segments[0]?.tokenCount, 20)
      await assertBooks(url)
    })
  }),
)

const LIES: readonly (readonly [name: string, behindEnd: readonly number[]])[] = [
  ['more tokens than were asked for', Array.from({ length: 64 }, () => 70)],
  ['a token that the model does not have', [9_999]],
  ['tokens behind the end', [70, 71]],
]
for (const [name, behindEnd] of LIES) {
  test(
    `a worker that hands in ${name} fails and earns nothing`,
    within(10_000, () =>
      withFakeDaemon({ behindEnd }, async ({ url }) => {
        const wish = { replicas: 3, verify: 'before', max_tokens: 128 }
        const { verdicts, pay } = await settledJob(url, await submit(url, wish))
        assert.equal([...verdicts].sort(), ['fail', 'pass', 'pass'])
        assert.is(pay[verdicts.indexOf('fail')], '')
        await assertBooks(url)
      }),
    ),
  )
}

test(
  'a job without a worker that has room is refunded',
  within(10_000, () =>
    withFakeDaemon({ engine: { slotCount: 0, waitingCountMax: 0 } }, async ({ url }) => {
      const answer = await chat(url, {})
      assert.ok([429, 503].includes(answer.status), answer.body)
      await assertBooks(url)
    }),
  ),
)

test(
  'a client that gives up at whatever moment never makes an honest worker fail',
  within(20_000, () =>
    withFakeDaemon({ faultOf: () => ({ stepMs: 2 }) }, async ({ url }) => {
      for (const waitMs of [0, 2, 4, 8, 16, 32, 64]) {
        const id = await submit(url, { replicas: 3 })
        await new Promise((resolve) => setTimeout(resolve, waitMs))
        await fetch(`${url}/api/v1/p2p/jobs/${id}`, { method: 'DELETE' })
        const { job, verdicts } = await settledJob(url, id)
        assert.not.ok(verdicts.includes('fail'), `after ${waitMs} ms: ${verdicts.join()} ${textAt(job, 'reason')}`)
      }
      await assertBooks(url)
    }),
  ),
)

test(
  'a signed intent with a rule that its sampler does not have is refused before anything is held',
  within(10_000, () =>
    withFakeDaemon({}, async ({ home, url }) => {
      const user = await createKeyStore(pathsOf(home, {}, home).keys, systemRandom).load('user')
      const status: unknown = await (await fetch(`${url}/api/v1/status`)).json()
      const swarm = parseSwarmId(textAt(status, 'swarm'))
      assert.ok(swarm !== undefined)
      const sampling = { ...NO_SAMPLING, topPMilli: 900 }
      const envelope = sealAs(intentCodec, intentOfAlice({ sampling, region: 'local' }), swarm, user)
      const body = Buffer.from(
        concatBytes(...[envelope, new Uint8Array()].flatMap((part) => [u32be(part.length), part])),
      )
      const headers = { 'content-type': 'application/vnd.cfab.intent' }
      const answer = await fetch(`${url}/api/v1/p2p/intents`, { method: 'POST', headers, body })
      assert.is(answer.status, 400)
      const refusal: unknown = await answer.json()
      assert.is(textAt(refusal, 'error', 'code'), 'CF_JOB_INVALID')
      assert.match(textAt(refusal, 'error', 'message'), 'field sampling')
      assert.is(textAt(await (await fetch(`${url}/api/v1/status`)).json(), 'credits', 'held'), '0')
      await assertBooks(url)
    }),
  ),
)

test('the fake answers differ from prompt to prompt, or these tests compare nothing', () => {
  const sampling = { kind: 'gumbel-v1', temperatureMilli: 1000, topK: 40 } as const
  const [one, two] = [1, 2].map((fill) =>
    answerIds(Uint32Array.of(fill), { sampling, seed: new Uint8Array(32).fill(fill) }).join(),
  )
  assert.is.not(one, two)
})

test.run()
