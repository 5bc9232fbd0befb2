/** A control plane on a free loopback port over the fake app, and the plainest ways to talk to it. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { ControlPorts } from '../../node/control/context.ts'
import { type Control, type ControlOptions, startControl } from '../../node/control/server.ts'
import type { ApiKeys } from '../../node/runtime/access.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { createLogger } from '../../node/runtime/telemetry.ts'
import { keyFile, MemoryUsage, WatchedApp } from './access.ts'
import { createFakeApp, type FakeApp } from './fake-app.ts'

export const ADMIN_KEY = 'ad'.repeat(32)
export type TestControl = {
  readonly app: FakeApp
  readonly control: Control
  readonly url: string
  readonly keys: ApiKeys
  readonly watched: WatchedApp
}

export const CONTROL_OPTIONS: ControlOptions = {
  ...{ host: '127.0.0.1', port: 0, allowedHosts: [], allowedOrigins: [], apiKey: undefined, adminKey: ADMIN_KEY },
  ...{ keyRate: null, openJobsPerKey: 64, openJobsMax: 256, metrics: true },
}

/** @param ports  in place of those that a test makes: what outlives a restart, a clock */
export async function withControl(
  work: (context: TestControl) => Promise<void>,
  options: Partial<ControlOptions> = {},
  ports: Partial<Omit<ControlPorts, 'app' | 'node'>> & {
    readonly app?: FakeApp
    readonly watched?: WatchedApp
  } = {},
): Promise<void> {
  const { app = createFakeApp(), watched = new WatchedApp(app), ...given } = ports
  const keys = given.keys ?? keyFile()
  const control = await startControl(
    { ...CONTROL_OPTIONS, ...options, bounds: { outcomeWaitMs: 100, ...options.bounds } },
    {
      ...{ clock: systemClock, random: systemRandom, log: createLogger('silent'), usage: new MemoryUsage() },
      ...{ ...given, app: watched.app, node: watched, keys },
    },
  )
  try {
    await work({ app, control, url: control.address, keys, watched })
  } finally {
    await control.stop()
  }
}

export type Reply = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }
export type Ask = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** Sends exactly the headers given, Host and Origin included, which fetch would not. */
export function ask(url: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts).toString() }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

export function askJson(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  return ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

/** Bytes on the wire as they are; resolves with what came back when the other side closes. */
export function askRaw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    let answer = ''
    socket.on('data', (part) => {
      answer += part.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}
