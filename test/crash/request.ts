/** Requests to a daemon that may die in the middle of its answer. */
import { request } from 'node:http'

export type Answer = {
  readonly status: number
  readonly job: string | undefined
  readonly body: string
  /** False when the connection broke before the end. */
  readonly complete: boolean
}
export type Message = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** @returns undefined when not even a status came. @throws when a living daemon does not answer within `limitMs` */
export function send(address: string, message: Message, limitMs: number): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const { method, headers, body } = message
    const sent = request(address + message.path, { method, headers, agent: false, timeout: limitMs }, (response) => {
      const parts: Buffer[] = []
      const header = response.headers['x-cfab-job']
      const finish = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          job: typeof header === 'string' ? header : undefined,
          body: Buffer.concat(parts).toString(),
          complete: response.complete,
        })
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', finish)
      response.once('close', finish)
    })
    sent.once('timeout', () => {
      reject(new Error(`no answer within ${limitMs} ms: ${method} ${message.path} ${body ?? ''}`))
      sent.destroy()
    })
    sent.once('error', () => resolve(undefined))
    sent.end(body)
  })
}
