/** Requests at the edge of what can be computed, and beyond it: a code each time, the same by both drivers, and no host is lost. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DriverKind, GenerateRequest } from '../../models/backend.ts'
import type { HostBackend } from '../../node/hosts/host-backend.ts'
import { answerOf, GREEDY, LLAMA, NEVER, promptOf, requestOf, STORY, WARM } from '../support/ask-backend.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { within } from '../support/within.ts'

const CONTEXT = 200
const HOT = { ...LLAMA, temperature: 2 }
const DEPTH = 10_000
const LIMIT_MS = 60_000

type Context = { backend: HostBackend; pid: number }

const ids = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, index) => 300 + (index % 100))

async function outcomeOf(backend: HostBackend, part: Partial<GenerateRequest>): Promise<string> {
  let finish = ''
  const code = await codeOf(
    answerOf(backend.generate({ ...requestOf(ids(5)), sampling: HOT, ...part }, NEVER)).then((answer) => {
      finish = answer.finish
    }),
  )
  return code === 'resolved' ? finish : code
}

function edgesOf(driver: Exclude<DriverKind, 'onnx'>): void {
  const test = suite<Context>(`edges: ${driver}`)
  test.before(async (context) => {
    context.backend = createHost().backend
    await context.backend.load({ ...TINY_LOAD, driver, contextTokens: CONTEXT })
    context.pid = context.backend.pid ?? missing()
  })
  test.after.each(({ backend, pid }) => assert.is(backend.pid, pid))
  test.after(closeHosts)
  contextTests(test)
  formTests(test)
  textTests(test)
  test.run()
}

type Edges = ReturnType<typeof suite<Context>>

function contextTests(test: Edges): void {
  test('prompt and answer may fill the context to its last token, and not one more', ({ backend }) =>
    within(LIMIT_MS, async () => {
      for (const [prompt, maxTokens] of [
        [1, 1],
        [1, CONTEXT - 1],
        [CONTEXT - 1, 1],
        [CONTEXT / 2, CONTEXT / 2],
      ] as const) {
        const outcome = await outcomeOf(backend, { promptIds: ids(prompt), maxTokens })
        assert.match(outcome, /^(stop|length)$/, `${prompt} and ${maxTokens}`)
      }
      for (const [prompt, maxTokens] of [
        [CONTEXT, 1],
        [CONTEXT + 1, 1],
        [CONTEXT - 1, 2],
        [1, CONTEXT],
      ] as const)
        assert.is(await outcomeOf(backend, { promptIds: ids(prompt), maxTokens }), 'CF_JOB_CONTEXT_EXCEEDED')
      assert.is(await outcomeOf(backend, { promptIds: ids(0) }), 'CF_JOB_INVALID')
    })())

  test('so may what is audited', ({ backend }) =>
    within(LIMIT_MS, async () => {
      const audit = async (prompt: number, output: number): Promise<string> => {
        const request = { promptIds: ids(prompt), outputIds: ids(output), sampling: WARM, seed: new Uint8Array(32) }
        return codeOf(backend.audit({ ...request, chunks: backend.schedule(prompt) }, NEVER))
      }
      for (const prompt of [1, CONTEXT / 2, CONTEXT - 1])
        assert.is(await audit(prompt, CONTEXT - prompt), 'resolved', `${prompt}`)
      assert.is(await audit(CONTEXT, 1), 'CF_JOB_CONTEXT_EXCEEDED')
      assert.is(await audit(1, 0), 'CF_JOB_INVALID')
    })())
}

function formTests(test: Edges): void {
  test('biases of tokens that there are not, or that are no numbers, are refused', ({ backend }) =>
    within(LIMIT_MS, async () => {
      const many = Array.from({ length: 301 }, (_, id): [number, number] => [id, 1])
      const biases: readonly (readonly (readonly [number, number])[])[] = [
        [[2_048, 1]],
        [[2 ** 32 - 1, 1]],
        [[-1, 1]],
        [[0.5, 1]],
        [[1, Number.NaN]],
        [[1, Number.POSITIVE_INFINITY]],
        [[1, 101]],
        many,
      ]
      for (const logitBias of biases) {
        const outcome = await outcomeOf(backend, { sampling: { ...HOT, logitBias } })
        assert.is(outcome, 'CF_JOB_INVALID', `${logitBias[0]}`)
      }
      const logitBias = many.slice(0, 300).map(([id]) => [id, -100] as const)
      assert.match(await outcomeOf(backend, { sampling: { ...HOT, logitBias } }), /^(stop|length)$/)
    })())

  test('grammars that allow nothing, mean nothing, or are too large get a code; those that take others for ever an answer', ({
    backend,
  }) =>
    within(LIMIT_MS, async () => {
      const words = Array.from({ length: 5_500 }, (_, index) => `"w${index}"`).join('|')
      for (const grammar of [
        'root ::= [^\\x00-\\U0010FFFF]',
        'root ::= (',
        'root ::= other',
        'x'.repeat(65_536),
        `root ::= "${'x'.repeat(65_536)}"`,
        `root ::= "${'x'.repeat(10_000_000)}"`,
        `${'('.repeat(20_000)}"a"${')'.repeat(20_000)}`,
      ])
        assert.is(await outcomeOf(backend, { grammar }), 'CF_JOB_INVALID', grammar.slice(0, 60))
      assert.is(await outcomeOf(backend, { sampling: GREEDY, grammar: 'root ::= "a"' }), 'CF_JOB_INVALID')
      for (const grammar of [
        'root ::= ""',
        'root ::= "a\u0000b" | "\ud800"',
        'root ::= (("a"?){40}){40}',
        'root ::= root "a" | "b"',
        'root ::= "a" root "b" | "a" root "c" | ""',
        `root ::= ${words.slice(0, 65_000).replace(/\|[^|]*$/, '')}`,
      ])
        assert.match(
          await outcomeOf(backend, { grammar, maxTokens: 30 }),
          /^(stop|length|CF_JOB_INVALID)$/,
          grammar.slice(0, 60),
        )
    })())
}

function textTests(test: Edges): void {
  test('halves of characters, zeros and texts without a space are read or refused', ({ backend }) =>
    within(LIMIT_MS, async () => {
      for (const text of ['a\ud800b\udc00', 'a\u0000b', '', '\ufffe\uffff'])
        assert.ok((await backend.tokenize(text, false)).length <= 32)
      const half = [{ role: 'user' as const, content: 'a\ud800b\udc00' }]
      assert.match(await outcomeOf(backend, { promptIds: await promptOf(backend, half) }), /^(stop|length)$/)
      assert.match(await outcomeOf(backend, { stop: ['\ud800', '\u0000'] }), /^(stop|length)$/)
      for (const text of ['x'.repeat(25_000), '\n'.repeat(1_000_000)])
        assert.is(await codeOf(backend.tokenize(text, false)), 'CF_JOB_CONTEXT_EXCEEDED')
    })())

  test('what cannot be sent to the host fails alone', ({ backend }) =>
    within(LIMIT_MS, async () => {
      let parameters: Record<string, unknown> = {}
      for (let depth = 0; depth < DEPTH; depth += 1) parameters = { properties: parameters }
      const tools = [{ name: 'deep', description: '', parameters }]
      assert.is.not(await codeOf(backend.render(STORY, { tools })), 'resolved')
      assert.match(await outcomeOf(backend, {}), /^(stop|length)$/)
    })())
}

if (hasNativeEngine()) edgesOf('native')
edgesOf('lockstep')
