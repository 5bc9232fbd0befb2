/** The official `openai` client against a spawned `cfab-node` with the real model: what its users see, errors and retries included. */
import type OpenAI from 'openai'
import { BadRequestError, ConflictError, NotFoundError, PermissionDeniedError, RateLimitError } from 'openai'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { ask, askJson, type Reply } from '../support/control.ts'
import { apiErrorOf, clientOf } from '../support/openai-client.ts'
import { getJson, ready, type SpawnedNode, startNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const CAPITAL = [{ role: 'user', content: 'What is the capital of France?' }] as const
const ANSWER = 'The capital of France is Paris.'

let node: SpawnedNode
let client: OpenAI

test.before(async () => {
  node = await startNode(tempFolder(), '--threads', '1')
  await ready(node)
  client = clientOf({ url: node.address })
})
test.after(async () => {
  await node.stop()
})

test(
  'models are listed and retrieved, and an unknown one is a NotFoundError',
  within(10_000, async () => {
    const list = await client.models.list()
    assert.equal(
      list.data.map(({ id }) => id),
      ['cfab-tiny', 'use-lite-en'],
    )
    const model = await client.models.retrieve('cfab-tiny')
    assert.is(member(model, 'cfab', 'loaded'), true)
    const error = await apiErrorOf(client.models.retrieve('gpt-4o'))
    assert.instance(error, NotFoundError)
    assert.is(error.code, 'CF_MODEL_UNKNOWN')
  }),
)

test(
  'a chat is answered whole, with its usage, outcome and receipt',
  within(20_000, async () => {
    const answer = await client.chat.completions.create({ model: 'cfab-tiny', messages: [...CAPITAL], temperature: 0 })
    assert.is(answer.choices[0]?.message.content, ANSWER)
    assert.is(answer.choices[0]?.finish_reason, 'stop')
    const usage = answer.usage
    assert.ok(usage !== undefined && usage.prompt_tokens > 0 && usage.completion_tokens > 0)
    assert.is(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
    assert.is(textAt(answer, 'cfab', 'outcome'), 'local')
    const receipt = await fetch(node.address + textAt(answer, 'cfab', 'receipt_url'))
    assert.is(receipt.status, 200)
    assert.ok((await receipt.arrayBuffer()).byteLength > 1_000)
  }),
)

test(
  'a streamed chat comes in pieces, then its usage, its outcome and its receipt id',
  within(20_000, async () => {
    const stream = await client.chat.completions.create({
      model: 'cfab-tiny',
      messages: [...CAPITAL],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    })
    let [text, pieces, outcome, receipt, tokens] = ['', 0, '', '', 0]
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.content ?? ''
      text += piece
      pieces += piece === '' ? 0 : 1
      tokens += chunk.usage?.completion_tokens ?? 0
      if ('cfab' in chunk) [outcome, receipt] = [textAt(chunk, 'cfab', 'outcome'), textAt(chunk, 'cfab', 'receipt_id')]
    }
    assert.is(text, ANSWER)
    assert.ok(pieces > 3, `${pieces} pieces`)
    assert.ok(tokens >= pieces)
    assert.is(outcome, 'local')
    assert.is(textAt(await getJson(`${node.address}/api/v1/p2p/jobs/${receipt}`), 'text'), ANSWER)
  }),
)

test(
  'three choices are three jobs with three receipts, streamed or whole',
  within(30_000, async () => {
    const body = { model: 'cfab-tiny', messages: [...CAPITAL], temperature: 0, n: 3 }
    const whole = await client.chat.completions.create(body)
    assert.equal(
      whole.choices.map(({ message }) => message.content),
      [ANSWER, ANSWER, ANSWER],
    )
    const members = listAt(member(whole, 'cfab'), 'choices')
    assert.is(new Set(members.map((one) => textAt(one, 'receipt_id'))).size, 3)
    const texts = ['', '', '']
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true }))
      for (const { index, delta } of choices) texts[index] += delta.content ?? ''
    assert.equal(texts, [ANSWER, ANSWER, ANSWER])
  }),
)

test(
  'a stop string ends the answer before itself, and the node has stopped there too',
  within(20_000, async () => {
    const body = { model: 'cfab-tiny', messages: [...CAPITAL], temperature: 0 }
    const full = await client.chat.completions.create(body)
    const cut = await client.chat.completions.create({ ...body, stop: [' France', 'nowhere'] })
    assert.is(cut.choices[0]?.message.content, 'The capital of')
    assert.is(cut.choices[0]?.finish_reason, 'stop')
    assert.ok((cut.usage?.completion_tokens ?? 99) < (full.usage?.completion_tokens ?? 0))
    let text = ''
    const stream = await client.chat.completions.create({ ...body, stop: ' France', stream: true })
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
    assert.is(text, 'The capital of')
  }),
)

test(
  'logprobs are those of the tokens that make the answer, streamed or whole',
  within(20_000, async () => {
    const body = { model: 'cfab-tiny', messages: [...CAPITAL], temperature: 0, logprobs: true, top_logprobs: 3 }
    const content = (await client.chat.completions.create(body)).choices[0]?.logprobs?.content ?? []
    assert.is(
      content
        .map(({ token }) => token)
        .join('')
        .trim(),
      ANSWER,
    )
    for (const { token, logprob, top_logprobs: top } of content) {
      assert.ok(logprob <= 0 && top.length === 3, token)
      assert.ok((top[0]?.logprob ?? 0) >= (top[1]?.logprob ?? 0), 'best first')
    }
    const streamed: string[] = []
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true }))
      streamed.push(...(choices[0]?.logprobs?.content ?? []).map(({ token }) => token))
    assert.equal(
      streamed,
      content.map(({ token }) => token),
    )
  }),
)

test(
  'top_p and penalties are run as asked and marked as not verifiable',
  within(20_000, async () => {
    const answer = await client.chat.completions.create({
      model: 'cfab-tiny',
      messages: [...CAPITAL],
      max_tokens: 24,
      top_p: 0.8,
      presence_penalty: 0.5,
      frequency_penalty: 0.5,
      seed: 7,
    })
    assert.is(member(answer, 'cfab', 'verifiable'), false)
    assert.ok((answer.usage?.completion_tokens ?? 0) > 0)
  }),
)

test(
  'a text is continued as it stands, several at once',
  within(30_000, async () => {
    const prompt = ['Once upon a time', 'The little fox']
    const answer = await client.completions.create({ model: 'cfab-tiny', prompt, n: 2, logprobs: 2 })
    assert.equal(
      answer.choices.map(({ index }) => index),
      [0, 1, 2, 3],
    )
    for (const { text, logprobs } of answer.choices) {
      assert.ok(text.length > 0 && (logprobs?.tokens?.length ?? 0) > 0)
      assert.is(logprobs?.text_offset?.length, logprobs?.tokens?.length)
    }
    assert.ok((answer.usage?.completion_tokens ?? 99) <= 4 * 16)
  }),
)

test(
  'texts become unit vectors, alike where the texts are, the same in both encodings',
  within(60_000, async () => {
    const model = 'use-lite-en'
    const input = ['The cat sat on the mat.', 'A kitten rested on the rug.', 'Stock prices fell sharply.']
    const answer = await client.embeddings.create({ model, input })
    const floats = await client.embeddings.create({ model, input, encoding_format: 'float' })
    const [cat, kitten, stocks] = answer.data.map(({ embedding }) => [...embedding])
    const product = (a: readonly number[] = [], b: readonly number[] = []): number =>
      a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
    assert.is(cat?.length, 512)
    assert.ok(Math.abs(product(cat, cat) - 1) < 1e-3)
    assert.ok(product(cat, kitten) > product(cat, stocks))
    assert.ok(product(cat, floats.data[0]?.embedding) > 0.9999)
    assert.ok(answer.usage.prompt_tokens > 0)
    const receipt = await fetch(node.address + textAt(answer, 'cfab', 'receipt_url'))
    assert.is(receipt.status, 200)
    const many = await client.embeddings.create({ model, input: Array.from({ length: 100 }, (_, at) => `text ${at}`) })
    assert.is(many.data.length, 100)
    assert.is(listAt(member(many, 'cfab'), 'jobs').length, 2)
    const long = await apiErrorOf(client.embeddings.create({ model, input: ['short', 'word '.repeat(400)] }))
    assert.equal([long.code, long.param], ['CF_JOB_CONTEXT_EXCEEDED', 'input[1]'])
  }),
)

test(
  'verify before: nothing is streamed until the verdict, then one output at once',
  within(20_000, async () => {
    const stream = await client.chat.completions.create({
      model: 'cfab-tiny',
      messages: [...CAPITAL],
      temperature: 0,
      stream: true,
      ...{ cfab: { replicas: 3, verify: 'before' } },
    })
    const pieces: string[] = []
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.content ?? ''
      if (piece !== '') pieces.push(piece)
    }
    assert.equal(pieces, [ANSWER])
  }),
)

test(
  'the same Idempotency-Key gives the same job, answered and charged once; another content is a ConflictError',
  within(20_000, async () => {
    const headers = { headers: { 'Idempotency-Key': 'asked twice' } }
    const body = {
      model: 'cfab-tiny',
      messages: [{ role: 'user' as const, content: 'Once upon a time' }],
      max_tokens: 24,
    }
    const [first, second] = [
      await client.chat.completions.create(body, headers),
      await client.chat.completions.create(body, headers),
    ]
    assert.is(second.id, first.id)
    assert.is(second.choices[0]?.message.content, first.choices[0]?.message.content)
    assert.is(second.choices[0]?.finish_reason, first.choices[0]?.finish_reason)
    const job = textAt(first, 'cfab', 'job_id')
    const holds = await getJson(`${node.address}/api/v1/credits/transactions/list?job_id=${job}`)
    assert.is(JSON.stringify(holds).match(/"kind":"hold"/g)?.length, 1)
    const error = await apiErrorOf(client.chat.completions.create({ ...body, max_tokens: 25 }, headers))
    assert.instance(error, ConflictError)
    assert.is(error.code, 'CF_JOB_NONCE_USED')
  }),
)

test(
  'the client itself repeats what was refused for now, until it is answered',
  within(60_000, async () => {
    const patient = clientOf({ url: node.address }, { maxRetries: 20 })
    const chat = { model: 'cfab-tiny', messages: [...CAPITAL], temperature: 0 }
    const submit = (fields: object) => askJson(`${node.address}/api/v1/p2p/intents`, { model: 'cfab-tiny', ...fields })
    // Too hot to find an end soon: these keep every slot busy until they are cancelled.
    const endless = { prompt: 'Tell me a story.', temperature: 2, max_tokens: 900, replicas: 5 }
    const busy = (await Promise.all(Array.from({ length: 24 }, () => submit(endless)))).map(jobIn)
    const codes = new Set<string>()
    let refused: unknown
    // Short ones end too: the place that one of them leaves may be the client's.
    for (let round = 0; round < 8 && refused === undefined; round += 1) {
      const short = { prompt: 'What is the capital of France?', max_tokens: 8 }
      for (const { status, body } of await Promise.all(Array.from({ length: 50 }, () => submit(short))))
        if (status !== 202) codes.add(textAt(JSON.parse(body), 'error', 'code'))
      if (codes.size === 0) continue
      refused = await client.chat.completions.create(chat).then(
        () => undefined,
        (error: unknown) => error,
      )
    }
    assert.equal([...codes], ['CF_JOB_QUEUE_FULL'])
    const error = await apiErrorOf(Promise.reject(refused))
    assert.instance(error, RateLimitError)
    assert.is(error.code, 'CF_JOB_QUEUE_FULL')
    assert.is(error.headers?.get('retry-after'), '1')
    const answer = patient.chat.completions.create(chat)
    for (const job of busy) await ask(`${node.address}/api/v1/p2p/jobs/${job}`, { method: 'DELETE' })
    assert.is((await answer).choices[0]?.message.content, ANSWER)
  }),
)

function jobIn(answer: Reply): string {
  return textAt(JSON.parse(answer.body), 'job_id')
}

const BAD: readonly (readonly [what: string, body: object, code: string, param: string])[] = [
  ['a prompt without messages', { messages: [] }, 'CF_CONTROL_BAD_REQUEST', 'messages'],
  ['a temperature of 3', { temperature: 3 }, 'CF_CONTROL_BAD_REQUEST', 'temperature'],
  ['nine choices', { n: 9 }, 'CF_CONTROL_BAD_REQUEST', 'n'],
  ['a list of functions', { functions: [{ name: 'f' }] }, 'CF_CONTROL_UNSUPPORTED', 'functions'],
  ['six replicas', { cfab: { replicas: 6 } }, 'CF_CONTROL_BAD_REQUEST', 'cfab.replicas'],
  ['a field that nobody knows', { temprature: 1 }, 'CF_CONTROL_BAD_REQUEST', 'temprature'],
]
for (const [what, fields, code, param] of BAD) {
  test(
    `${what} is a BadRequestError that names ${param}`,
    within(10_000, async () => {
      const body = { model: 'cfab-tiny', messages: [...CAPITAL], ...fields }
      const error = await apiErrorOf(client.chat.completions.create(body))
      assert.instance(error, BadRequestError)
      assert.is(error.code, code)
      assert.is(error.param, param)
    }),
  )
}

test(
  'a prompt of one token is answered, one beyond the context is refused, and so is an unknown model',
  within(20_000, async () => {
    const short = await client.chat.completions.create({
      model: 'cfab-tiny',
      messages: [{ role: 'user', content: '.' }],
      max_tokens: 1,
    })
    assert.is(short.usage?.completion_tokens, 1)
    const long = [{ role: 'user' as const, content: 'word '.repeat(2_000) }]
    const overflow = await apiErrorOf(client.chat.completions.create({ model: 'cfab-tiny', messages: long }))
    assert.instance(overflow, BadRequestError)
    assert.is(overflow.code, 'CF_JOB_CONTEXT_EXCEEDED')
    const unknown = await apiErrorOf(client.chat.completions.create({ model: 'gpt-4o', messages: [...CAPITAL] }))
    assert.instance(unknown, NotFoundError)
    assert.is(unknown.code, 'CF_MODEL_UNKNOWN')
  }),
)

test(
  'a page of another site is refused',
  within(10_000, async () => {
    const headers = { Origin: 'https://evil.example' }
    const error = await apiErrorOf(client.models.list({ headers }))
    assert.instance(error, PermissionDeniedError)
    assert.is(error.code, 'CF_CONTROL_ORIGIN_REFUSED')
  }),
)

test(
  'after all of it the books add up',
  within(60_000, async () => {
    while (Number(textAt(await getJson(`${node.address}/api/v1/status`), 'jobs', 'open')) > 0)
      await new Promise((resolve) => setTimeout(resolve, 50))
    const audit = await getJson(`${node.address}/api/v1/credits/audit`)
    assert.is(member(audit, 'zero_sum'), true)
    assert.is(member(audit, 'replay_matches'), true)
    assert.is(member(audit, 'open_holds'), 0)
  }),
)

test.run()
