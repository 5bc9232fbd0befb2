/**
 * One of the two servers of bench/sse.ts, in a process of its own: the control plane over scripted jobs, or bare node:http that
 * writes the same bytes. Both say a token to every client at the same rate while they are told to, and account for their processor time.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startControl } from '../node/control/server.ts'
import type { ApiKeys, KeyUsage, NodeGauges } from '../node/runtime/access.ts'
import { systemClock, systemRandom } from '../node/runtime/system.ts'
import { createLogger } from '../node/runtime/telemetry.ts'
import { createTokenApp } from './sse-app.ts'

export type SseOrder = { readonly say: number; readonly ms: number }
export type SseReport = { readonly cpuUs: number; readonly tokens: number }

const [, , kind] = process.argv
const TOKEN = ' token'
/** Clients are served in turns, as generations that began at different times are. */
const TURNS = 10
const KEYS: ApiKeys = {
  find: () => undefined,
  list: () => [],
  add: () => Promise.reject(new Error('no keys')),
  revoke: () => Promise.reject(new Error('no keys')),
}
const USAGE: KeyUsage = { holds: () => [], spent: () => [], reserve: async () => {}, settle: async () => {} }
const NODE: NodeGauges = {
  openJobs: () => 0,
  jobOfNonce: () => undefined,
  slots: () => ({ busy: 0, total: 1 }),
  engines: async () => [],
  rejects: () => new Map(),
  audits: () => new Map(),
  mesh: () => undefined,
}

/** What says one token to one client. */
type Say = () => void
type Server = { readonly address: string; readonly clients: () => readonly Say[] }

async function fabricServer(): Promise<Server> {
  const { app, feeds } = createTokenApp()
  const limits = { keyRate: null, openJobsPerKey: 4_096, openJobsMax: 4_096, metrics: true }
  const { address } = await startControl(
    {
      host: '127.0.0.1',
      port: 0,
      allowedHosts: [],
      allowedOrigins: [],
      apiKey: undefined,
      adminKey: 'ad'.repeat(32),
      ...limits,
    },
    {
      app,
      keys: KEYS,
      usage: USAGE,
      node: NODE,
      clock: systemClock,
      random: systemRandom,
      log: createLogger('silent'),
    },
  )
  return { address, clients: () => feeds.map((feed) => () => feed.push({ type: 'tokens', ids: [7], text: TOKEN })) }
}

async function bareServer(): Promise<Server> {
  const responses: ServerResponse[] = []
  const chunk = {
    id: `chatcmpl-${'0'.repeat(64)}`,
    created: 1_700_000_000,
    model: 'cfab-tiny',
    object: 'chat.completion.chunk',
  }
  const choice = { index: 0, delta: { content: TOKEN }, logprobs: null, finish_reason: null }
  const frame = `data: ${JSON.stringify({ ...chunk, choices: [choice] })}\n\n`
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
    response.write(frame)
    responses.push(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port }: Pick<AddressInfo, 'port'> = portOf(server.address())
  return {
    address: `http://127.0.0.1:${port}`,
    clients: () => responses.map((response) => () => void response.write(frame)),
  }
}

function portOf(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address
}

/** Says `say` tokens a second to every client for a while. */
function speak(clients: readonly Say[], { say, ms }: SseOrder): Promise<SseReport> {
  const [startCpu, startMs] = [process.cpuUsage(), performance.now()]
  let [turn, tokens] = [0, 0]
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const dueTurns = Math.floor(((performance.now() - startMs) * say * TURNS) / 1_000)
      for (; turn < dueTurns; turn += 1)
        for (let place = turn % TURNS; place < clients.length; place += TURNS) {
          clients[place]?.()
          tokens += 1
        }
      if (performance.now() - startMs < ms) return
      clearInterval(timer)
      const { user, system } = process.cpuUsage(startCpu)
      resolve({ cpuUs: user + system, tokens })
    }, 1)
  })
}

if (kind === 'fabric' || kind === 'bare') {
  const server = await (kind === 'fabric' ? fabricServer() : bareServer())
  process.on('message', (order: SseOrder) => {
    const clients = server.clients()
    // The head and the first token of a new stream are not of the measurement.
    if (order.ms === 0) for (const say of clients) say()
    void speak(clients, order).then((report) => process.send?.(report))
  })
  process.send?.({ address: server.address })
}
