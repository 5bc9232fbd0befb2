/**
 * A client of a streamed chat in a process of its own, so that what it costs is nobody's: it counts events and bytes, and notes when
 * each came. Run by `forkChatClient`; told what to ask by messages.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'

/** Milliseconds after the question for each server-sent event, in order. */
export type ChatTimes = { readonly events: readonly number[] }
export type ChatClient = { ask(address: string, body: string): Promise<ChatTimes>; close(): void }

const SELF = fileURLToPath(import.meta.url)
const [, , role] = process.argv
const NEWLINE = 10

export function forkChatClient(): ChatClient {
  const child = fork(SELF, ['client'])
  return {
    async ask(address, body) {
      child.send({ address, body })
      const [times] = await once(child, 'message')
      return parseTimes(times)
    },
    close: () => void child.kill(),
  }
}

function parseTimes(value: unknown): ChatTimes {
  const events = typeof value === 'object' && value !== null && 'events' in value ? value.events : undefined
  if (!Array.isArray(events)) throw new Error(`the chat failed: ${JSON.stringify(value)}`)
  return { events: events.map(Number) }
}

function ask(agent: Agent, address: string, body: string): Promise<object> {
  const startMs = performance.now()
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    const asked = request(`${address}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      const [events, parts]: [number[], Buffer[]] = [[], []]
      response.on('data', (part: Buffer) => {
        const nowMs = performance.now() - startMs
        for (let count = eventsIn(part); count > 0; count -= 1) events.push(nowMs)
        if (response.statusCode !== 200) parts.push(part)
      })
      response.on('end', () =>
        resolve(response.statusCode === 200 ? { events } : { text: String(Buffer.concat(parts)) }),
      )
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** An event ends with an empty line. */
function eventsIn(part: Buffer): number {
  let count = 0
  for (let at = part.indexOf('\n\n'); at >= 0; at = part.indexOf('\n\n', at + 2)) count += 1
  // Cut between its two line ends: counted where the second one comes.
  return part[0] === NEWLINE && part[1] !== NEWLINE ? count + 1 : count
}

if (role === 'client') {
  const agent = new Agent({ keepAlive: true })
  process.on('message', (message: { readonly address: string; readonly body: string }) => {
    void ask(agent, message.address, message.body).then(
      (answer) => process.send?.(answer),
      (error: unknown) => process.send?.({ text: String(error) }),
    )
  })
}
