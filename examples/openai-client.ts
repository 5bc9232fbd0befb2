/**
 * The official `openai` client against a local node: streams an answer and what it cost, then asks for several answers with the chance of
 * each token, wants an answer of a form and a call of a tool, continues a text, and turns two texts into vectors.
 * Run it while `npm start` runs: `node examples/openai-client.ts "Once upon a time"`.
 */
import OpenAI from 'openai'

const prompt = process.argv[2] ?? 'Once upon a time'
// On loopback any key will do; a node that listens elsewhere wants the one in its api.key file.
const client = new OpenAI({
  baseURL: process.env['OPENAI_BASE_URL'] ?? 'http://127.0.0.1:7733/v1',
  apiKey: process.env['OPENAI_API_KEY'] ?? 'unused',
})

const stream = await client.chat.completions.create({
  model: 'cfab-tiny',
  messages: [{ role: 'user', content: prompt }],
  max_tokens: 64,
  stream: true,
  // An extension that the client passes on as it is: two workers answer, and at most one credit is spent.
  ...{ cfab: { replicas: 2, max_budget: '1' } },
})

for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? '')
  if ('cfab' in chunk) console.log('\n', chunk.cfab)
}

// Each choice is a job of its own: their members are in cfab.choices.
const several = await client.chat.completions.create({
  model: 'cfab-tiny',
  messages: [{ role: 'user', content: prompt }],
  max_tokens: 16,
  n: 2,
  stop: ['.'],
  logprobs: true,
  top_logprobs: 3,
})
for (const { index, message, logprobs } of several.choices)
  console.log(`choice ${index}: ${message.content} (first token ${logprobs?.content?.[0]?.logprob})`)

// Nothing else can be said than what the schema allows; nobody can replay such a sample, and cfab.verifiable says so.
const feeling = { type: 'object', required: ['mood'], properties: { mood: { enum: ['glad', 'sad', 'wild'] } } }
const formed = await client.chat.completions.create({
  model: 'cfab-tiny',
  messages: [{ role: 'user', content: prompt }],
  response_format: { type: 'json_schema', json_schema: { name: 'feeling', schema: feeling } },
})
console.log(`of a form: ${formed.choices[0]?.message.content}`)

const called = await client.chat.completions.create({
  model: 'cfab-tiny',
  messages: [{ role: 'user', content: prompt }],
  tools: [{ type: 'function', function: { name: 'show', description: 'Shows a mood.', parameters: feeling } }],
  tool_choice: { type: 'function', function: { name: 'show' } },
})
for (const call of called.choices[0]?.message.tool_calls ?? [])
  if (call.type === 'function') console.log(`called: ${call.function.name} ${call.function.arguments}`)

const continued = await client.completions.create({ model: 'cfab-tiny', prompt, max_tokens: 16 })
console.log(`continued: ${continued.choices[0]?.text}`)

const { data } = await client.embeddings.create({ model: 'use-lite-en', input: [prompt, 'a story'] })
const [one, two] = data.map(({ embedding }) => embedding)
// Vectors have length 1, so their product is how alike the texts are.
console.log(`alike: ${one?.reduce((sum, value, index) => sum + value * (two?.[index] ?? 0), 0).toFixed(3)}`)
