/**
 * Clients of a streamed chat, all in one process of their own, so that what they cost is nobody's: each asks, reads to the end, and
 * asks again. The questions of one run are alike in length and differ in their words.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'

export type Load = {
  readonly address: string
  /** Fields of every question beyond messages and length. */
  readonly body: object
  readonly clients: number
  readonly questions: number
  readonly promptWords: number
  readonly tokens: number
}
/** `tokensPerSecond`: of all clients together over the whole run. `ttftMs`: the median of all questions. */
export type Served = { readonly tokensPerSecond: number; readonly ttftMs: number }
export type Clients = { run(load: Load): Promise<Served>; close(): void }

type Answer = { readonly ttftMs: number; readonly tokens: number }

const SELF = fileURLToPath(import.meta.url)
const WORDS = ['river', 'stone', 'lamp', 'winter', 'paper', 'horse', 'market', 'silver', 'garden', 'letter', 'bread']

export function forkClients(): Clients {
  const child = fork(SELF, ['clients'])
  return {
    async run(load) {
      child.send(load)
      const [served] = await once(child, 'message')
      return parseServed(served)
    },
    close: () => void child.kill(),
  }
}

function parseServed(value: unknown): Served {
  if (typeof value === 'object' && value !== null && 'tokensPerSecond' in value && 'ttftMs' in value)
    return { tokensPerSecond: Number(value.tokensPerSecond), ttftMs: Number(value.ttftMs) }
  throw new Error(`the clients failed: ${JSON.stringify(value)}`)
}

let asked = 0

async function serve(agent: Agent, load: Load): Promise<Served> {
  const startMs = performance.now()
  const client = async (): Promise<readonly Answer[]> => {
    const answers: Answer[] = []
    while (answers.length < load.questions) answers.push(await ask(agent, load, asked++))
    return answers
  }
  const answers = (await Promise.all(Array.from({ length: load.clients }, client))).flat()
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0)
  const sorted = answers.map(({ ttftMs }) => ttftMs).sort((a, b) => a - b)
  return {
    tokensPerSecond: (tokens * 1_000) / (performance.now() - startMs),
    ttftMs: sorted[sorted.length >> 1] ?? Number.NaN,
  }
}

function questionOf({ body, promptWords, tokens }: Load, place: number): string {
  const word = (at: number): string => WORDS[(at * 7 + place * (1 + (at % 5))) % WORDS.length] ?? ''
  const content = `Question ${place}: ${Array.from({ length: promptWords }, (_, at) => word(at)).join(' ')}?`
  const length = { stream: true, stream_options: { include_usage: true }, max_tokens: tokens }
  return JSON.stringify({ ...body, ...length, messages: [{ role: 'user', content }] })
}

function ask(agent: Agent, load: Load, place: number): Promise<Answer> {
  const body = questionOf(load, place)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const startMs = performance.now()
  return new Promise((resolve, reject) => {
    const sent = request(`${load.address}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      let [text, ttftMs] = ['', Number.NaN]
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (Number.isNaN(ttftMs) && hasWords(text)) ttftMs = performance.now() - startMs
      })
      response.on('end', () => {
        const tokens = Number(/"completion_tokens":\s*(\d+)/.exec(text)?.[1])
        if (tokens === load.tokens) resolve({ ttftMs, tokens })
        else
          reject(new Error(`${response.statusCode}, ${tokens} tokens: ${text.slice(0, 300)} ... ${text.slice(-1_500)}`))
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** The opening of an answer has a role and no words, or null. */
function hasWords(text: string): boolean {
  return /"content":\s*"[^"]/.test(text)
}

if (process.argv[2] === 'clients') {
  // A connection for each question, for both servers: llama-server closes them after a stream.
  const agent = new Agent({ keepAlive: false })
  process.on('message', (load: Load) => {
    void serve(agent, load).then(
      (served) => process.send?.(served),
      (error: unknown) => process.send?.({ text: String(error) }),
    )
  })
}
