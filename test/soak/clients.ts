/** Clients of a spawned node that stream chats, to the end or not: how each ended is told, and nothing else. */
import { request } from 'node:http'
import { member, textAt } from '../../node/commands/json.ts'

/** `whole`: with all that belongs to an answer. `refused`, `failed`: by a code, before or after the first token. `left`: by us. */
export type Ending =
  | { readonly how: 'whole' | 'left' }
  | { readonly how: 'refused' | 'failed'; readonly code: string }
  | { readonly how: 'broken'; readonly what: string }

export type Chat = { readonly maxTokens: number; readonly seed: number; readonly content: string }

/** An answer that has not ended by then hangs. */
const ANSWER_MS_MAX = 120_000

/** @param leave  aborted when the client hangs up */
export function streamChat(address: string, chat: Chat, leave?: AbortSignal): Promise<Ending> {
  const { promise, resolve } = Promise.withResolvers<Ending>()
  const headers = { 'content-type': 'application/json' }
  const options = { method: 'POST', headers, agent: false, timeout: ANSWER_MS_MAX } as const
  const sent = request(`${address}/v1/chat/completions`, options, (response) => {
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => parts.push(part))
    response.on('error', () => undefined)
    response.once('close', () => {
      const body = Buffer.concat(parts).toString()
      resolve(leave?.aborted === true ? { how: 'left' } : endingOf(response.statusCode ?? 0, body, response.complete))
    })
  })
  const hangUp = (): void => void sent.destroy()
  leave?.addEventListener('abort', hangUp, { once: true })
  sent.once('timeout', () => {
    resolve({ how: 'broken', what: `no end within ${ANSWER_MS_MAX} ms` })
    sent.destroy()
  })
  sent.once('error', (error) =>
    resolve(leave?.aborted === true ? { how: 'left' } : { how: 'broken', what: String(error) }),
  )
  sent.end(JSON.stringify(bodyOf(chat)))
  return promise.finally(() => leave?.removeEventListener('abort', hangUp))
}

/** Hot: it goes on to its length nearly always. */
function bodyOf({ maxTokens, seed, content }: Chat): object {
  const messages = [{ role: 'user', content }]
  return { model: 'cfab-tiny', messages, stream: true, temperature: 2, max_tokens: maxTokens, seed }
}

function endingOf(status: number, body: string, isComplete: boolean): Ending {
  if (!isComplete) return { how: 'broken', what: `the connection broke: ${body.slice(-200)}` }
  if (status !== 200) return codedOf('refused', body)
  if (body.trimEnd().endsWith('data: [DONE]') && errorEvent(body) === undefined) return { how: 'whole' }
  const event = errorEvent(body)
  return event === undefined ? { how: 'broken', what: `no end: ${body.slice(-200)}` } : codedOf('failed', event)
}

function codedOf(how: 'refused' | 'failed', text: string): Ending {
  const code = parsed(text, 'code')
  return code.startsWith('CF_') ? { how, code } : { how: 'broken', what: `no code: ${text.slice(0, 200)}` }
}

function parsed(text: string, name: string): string {
  try {
    return textAt(JSON.parse(text), 'error', name)
  } catch {
    return ''
  }
}

function errorEvent(body: string): string | undefined {
  const events = body.split('\n').filter((line) => line.startsWith('data: {'))
  return events
    .map((line) => line.slice('data: '.length))
    .find((text) => member(JSON.parse(text), 'error') !== undefined)
}
