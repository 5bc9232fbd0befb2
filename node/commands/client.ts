/** The CLI's side of the HTTP API. */
import { Pool } from 'undici'
import { FabricError } from '../../core/errors.ts'
import { apiAddress, type Config } from '../config.ts'
import { isLoopback } from '../control/guard.ts'
import { readSecret } from '../control/secret.ts'
import { daemonError } from './failure.ts'

export type ServerEvent = { readonly name: string; readonly data: unknown }
type Call = {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: unknown
  readonly admin?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

const ANSWER_MS = 60_000
const CONNECT_MS = 5_000
const CONNECTIONS_MAX = 4
const EVENT_CHARS_MAX = 4_194_304

export class Client {
  readonly address: string
  readonly #config: Config
  readonly #http: Pool

  constructor(config: Config) {
    this.address = apiAddress(config)
    this.#config = config
    // An event stream is silent while a job waits for its turn: no body timeout, the job's own deadline ends it.
    this.#http = new Pool(this.address, {
      headersTimeout: ANSWER_MS,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_MS },
      // One for the events, others for what is asked meanwhile.
      connections: CONNECTIONS_MAX,
    })
  }

  async json(path: string, call: Call = {}): Promise<unknown> {
    return parseJson(Buffer.from(await this.bytes(path, call)).toString('utf8'))
  }

  async bytes(path: string, call: Call = {}): Promise<Uint8Array> {
    const answer = await this.#send(path, call)
    return new Uint8Array(await answer.body.arrayBuffer())
  }

  /** Server-sent events until the other side ends the stream. */
  async *events(path: string): AsyncGenerator<ServerEvent, void> {
    const { body } = await this.#send(path, {})
    const decoder = new TextDecoder()
    let rest = ''
    try {
      for await (const part of body) {
        rest += decoder.decode(Buffer.from(part), { stream: true })
        const frames = rest.split('\n\n')
        rest = frames.pop() ?? ''
        if (rest.length > EVENT_CHARS_MAX)
          throw new FabricError('CF_CONTROL_INTERNAL', { reason: 'an event is too large' })
        for (const frame of frames) yield parseEvent(frame)
      }
    } catch (error) {
      throw error instanceof FabricError
        ? error
        : new FabricError('CF_CONTROL_UNREACHABLE', { address: this.address }, error)
    }
  }

  async close(): Promise<void> {
    await this.#http.destroy()
  }

  async #send(path: string, { method = 'GET', body, admin = false, headers = {} }: Call) {
    const sent = {
      ...headers,
      ...(await this.#authorization(admin)),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const answer = await this.#http
      .request({ method, path, headers: sent, body: body === undefined ? null : JSON.stringify(body) })
      .catch((error: unknown) => {
        throw new FabricError('CF_CONTROL_UNREACHABLE', { address: this.address }, error)
      })
    if (answer.statusCode < 400) return answer
    throw daemonError(answer.statusCode, parseJson(await answer.body.text()))
  }

  async #authorization(admin: boolean): Promise<{ authorization?: string }> {
    const { adminKey, apiKey } = this.#config.paths
    const isLocal = isLoopback(new URL(this.address).hostname.replace(/^\[|\]$/g, '')) && isLoopback(this.#config.host)
    if (!admin && isLocal && !this.#config.requireKey) return {}
    return { authorization: `Bearer ${await readSecret(admin ? adminKey : apiKey)}` }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseEvent(frame: string): ServerEvent {
  const lines = frame.split('\n')
  const value = (field: string): string =>
    lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2) ?? ''
  return { name: value('event'), data: parseJson(value('data')) }
}

/** Runs work with a client that is closed afterwards, so that the process can end. */
export async function withClient<T>(config: Config, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(config)
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
