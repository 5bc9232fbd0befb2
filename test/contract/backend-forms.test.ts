/** Grammars, biases and control tokens mean the same whichever driver computes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Backend, GenerateRequest, LoadRequest } from '../../models/backend.ts'
import { jsonSchemaGrammar } from '../../models/grammar.ts'
import { type Answer, answerOf, LLAMA, NEVER, promptOf } from '../support/ask-backend.ts'
import { hasNativeEngine, sharedLoad } from '../support/drivers.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 120_000
const SEED = new Uint8Array(32)
const NO_PROMPT = new Uint32Array()
const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    age: { type: 'integer', minimum: 0, maximum: 120 },
    tags: { type: 'array', items: { enum: ['ä', 'b"', '日本'] }, maxItems: 3 },
  },
  required: ['name', 'age'],
  additionalProperties: false,
}

const test = suite('forms of answers')
test.after(closeHosts)

const schemaGrammar = (): string => {
  const grammar = jsonSchemaGrammar(SCHEMA)
  return 'gbnf' in grammar ? grammar.gbnf : missing(grammar.fault)
}
const job = (part: Partial<GenerateRequest>): GenerateRequest => ({
  ...{ promptIds: NO_PROMPT, sampling: LLAMA, seed: SEED, maxTokens: 60, stop: [] },
  ...part,
})
const JOBS: readonly (readonly [what: string, request: GenerateRequest])[] = [
  ['a schema', job({ grammar: schemaGrammar() })],
  ['a schema, greedily', job({ grammar: schemaGrammar(), sampling: { ...LLAMA, temperature: 0 } })],
  ['letters of many bytes', job({ grammar: 'root ::= [à-ÿ]{3} "日本" [一-龯]{2}' })],
  ['words that the model would not say', job({ grammar: 'root ::= "zq" [xyz]{5} "!?"' })],
  [
    'biases',
    job({
      sampling: {
        ...LLAMA,
        seed: 5,
        logitBias: [
          [7, 8.25],
          [300, 100],
          [301, -100],
        ],
      },
    }),
  ],
  ['biases and penalties', job({ sampling: { ...LLAMA, presencePenalty: 1.5, logitBias: [[99, 20]] } })],
  ['a bias and a grammar', job({ sampling: { ...LLAMA, logitBias: [[300, 50]] }, grammar: 'root ::= [a-z ]{5,40}' })],
]

async function answers(load: LoadRequest): Promise<readonly Answer[]> {
  const { backend } = createHost()
  await backend.load(load)
  const promptIds = await promptOf(backend)
  const all = await Promise.all(JOBS.map(([, request]) => answerOf(backend.generate({ ...request, promptIds }, NEVER))))
  await backend.close()
  return all
}

function sameFormsTest(name: string, load: LoadRequest): void {
  test(
    `${name}: both drivers give the same tokens under grammars and biases`,
    within(LIMIT_MS, async () => {
      const native = await answers({ ...load, driver: 'native' })
      const lockstep = await answers({ ...load, driver: 'lockstep' })
      for (const [index, [what]] of JOBS.entries()) {
        assert.equal(lockstep[index]?.ids, native[index]?.ids, what)
        assert.is(lockstep[index]?.text, native[index]?.text, what)
      }
    }),
  )
}

const stories = await sharedLoad('stories260K-q8_0.gguf')
if (hasNativeEngine()) {
  sameFormsTest('cfab-tiny q8_0', TINY_LOAD)
  if (stories !== undefined) sameFormsTest('stories260K q8_0', stories)
}

const ended = ({ finish }: Answer): boolean => finish === 'stop'

async function onLockstep(work: (backend: Backend, promptIds: Uint32Array) => Promise<void>): Promise<void> {
  const { backend } = createHost()
  await backend.load({ ...TINY_LOAD, driver: 'lockstep' })
  await work(backend, await promptOf(backend))
  await backend.close()
}

test(
  'lock-step: an answer that ends fits its schema, and one that cannot be read fails its own call alone',
  within(LIMIT_MS, () =>
    onLockstep(async (backend, promptIds) => {
      const request = job({ promptIds, grammar: schemaGrammar(), maxTokens: 120 })
      const beside = answerOf(backend.generate(job({ promptIds }), NEVER))
      const answer = await answerOf(backend.generate(request, NEVER))
      if (ended(answer)) assert.type(JSON.parse(answer.text).age, 'number')
      for (const grammar of ['root ::= (', 'root ::= root'])
        assert.is(
          await codeOf(answerOf(backend.generate(job({ promptIds, grammar }), NEVER))),
          'CF_JOB_INVALID',
          grammar,
        )
      const word = await answerOf(backend.generate(job({ promptIds, grammar: 'root ::= "yes" | "no"' }), NEVER))
      assert.match(word.text, /^(?:yes|no)$/)
      assert.ok(ended(word))
      assert.equal((await beside).ids, (await answerOf(backend.generate(job({ promptIds }), NEVER))).ids)
    }),
  ),
)

test(
  'lock-step: a bias of 100 is said, one of -100 is not, also for the token that ends the answer',
  within(LIMIT_MS, () =>
    onLockstep(async (backend, promptIds) => {
      const sampling = { ...LLAMA, temperature: 0 }
      const always = await answerOf(
        backend.generate(job({ promptIds, maxTokens: 5, sampling: { ...sampling, logitBias: [[300, 100]] } }), NEVER),
      )
      assert.equal(always.ids, [300, 300, 300, 300, 300])
      const free = await answerOf(backend.generate(job({ promptIds, sampling, maxTokens: 300 }), NEVER))
      assert.ok(ended(free))
      const stopId = free.ids.at(-1) ?? missing()
      const endless = await answerOf(
        backend.generate(
          job({ promptIds, maxTokens: 300, sampling: { ...sampling, logitBias: [[stopId, -100]] } }),
          NEVER,
        ),
      )
      assert.is(endless.finish, 'length')
      assert.not.ok(endless.ids.includes(stopId))
    }),
  ),
)

test.run()
