/**
 * The official `openai` client against a local node: streams an answer, then reads what it cost and where its receipt is.
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
