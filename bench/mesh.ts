/**
 * The transport between machines against what it stands on: requests and stream frames over one session on loopback, beside plain
 * HTTP/1.1, bare HTTP/2 over TLS and a bare TLS socket that carry the same bytes. Both ends are in this process, for all alike.
 */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2, createSecureServer } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { Pool } from 'undici'
import { keyPairFromSeed } from '../core/identity/keys.ts'
import { credentialsOf } from '../node/mesh/tls/certificate.ts'
import type { TlsTransport } from '../node/mesh/tls/transport.ts'
import { createTlsTransport } from '../node/mesh/tls/transport.ts'
import type { PeerAddress } from '../node/runtime/mesh.ts'
import { systemClock, systemRandom } from '../node/runtime/system.ts'
import { type Figure, median, type Result } from './report.ts'

type Way = { readonly name: string; readonly unit: string; readonly run: () => Promise<number> }

const HOST = '127.0.0.1'
const BODY = new Uint8Array(512).fill(7)
const FRAME = new Uint8Array(64).fill(7)
const REQUESTS = 2_000
const AT_ONCE = 32
const FRAMES = 20_000
const SESSIONS = 20
const WARM_UPS = 2
const LONG = { deadlineMs: 60_000 }
const KEYS = [1, 2].map((seed) => keyPairFromSeed(new Uint8Array(32).fill(seed)))
const undo: (() => unknown)[] = []

export async function meshBench(runs: number): Promise<Result> {
  try {
    const ways = [...(await requestWays()), ...(await frameWays()), ...(await sessionWays())]
    const figures = await inTurn(ways, runs)
    const of = (name: string): number => median(figures.find((figure) => figure.name === name)?.values ?? [])
    const against = (ours: string, theirs: string) => ({ name: `${ours} / ${theirs}`, value: of(ours) / of(theirs) })
    return {
      bench: 'mesh',
      figures,
      ratios: [
        against('mesh requests', 'http/1.1 requests, no TLS'),
        against('mesh requests', 'bare http/2 requests, TLS'),
        against('mesh requests', 'bare TLS exchanges'),
        against('mesh frames', 'bare http/2 frames, TLS'),
        against('mesh frames', 'bare TLS frames'),
        against('mesh sessions', 'bare TLS handshakes'),
      ],
    }
  } finally {
    for (const work of undo.splice(0).reverse()) await work()
  }
}

/** Things per second, each way in its turn so that the noise of the machine falls on all. */
async function inTurn(ways: readonly Way[], runs: number): Promise<readonly Figure[]> {
  const values = ways.map((): number[] => [])
  for (let run = -WARM_UPS; run < runs; run += 1)
    for (const [place, way] of ways.entries()) {
      const begunMs = performance.now()
      const count = await way.run()
      if (run >= 0) values[place]?.push((count * 1_000) / (performance.now() - begunMs))
    }
  return ways.map(({ name, unit }, place) => ({ name, unit, values: values[place] ?? [] }))
}

async function requestWays(): Promise<readonly Way[]> {
  const [caller, called] = await meshPair()
  called.onMessage('echo', async (_from, body) => body)
  const pool = await httpPool()
  const session = await http2Session()
  const exchange = await tlsExchange()
  const all = (ask: () => Promise<unknown>) => async () => {
    await atOnce(REQUESTS, ask)
    return REQUESTS
  }
  return [
    { name: 'http/1.1 requests, no TLS', unit: '1/s', run: all(() => httpAsk(pool)) },
    { name: 'bare http/2 requests, TLS', unit: '1/s', run: all(() => http2Ask(session)) },
    { name: 'bare TLS exchanges', unit: '1/s', run: all(exchange) },
    { name: 'mesh requests', unit: '1/s', run: all(() => caller.request(called.self, 'echo', BODY, LONG)) },
  ]
}

async function frameWays(): Promise<readonly Way[]> {
  const [caller, called] = await meshPair()
  called.onStream('frames', async (_from, _body, stream) => {
    for (let count = 0; count < FRAMES; count += 1) await stream.send(FRAME)
  })
  const readMesh = async (): Promise<number> => {
    let count = 0
    for await (const _frame of await caller.openStream(called.self, 'frames', BODY, LONG)) count += 1
    return count
  }
  const session = await http2Session()
  const socket = await tlsSocket()
  return [
    { name: 'bare http/2 frames, TLS', unit: '1/s', run: () => http2Frames(session) },
    { name: 'bare TLS frames', unit: '1/s', run: () => tlsFrames(socket) },
    { name: 'mesh frames', unit: '1/s', run: readMesh },
  ]
}

/** New connections, one after the other; of the mesh with its first request answered. */
async function sessionWays(): Promise<readonly Way[]> {
  const [, called, addresses] = await meshPair()
  called.onMessage('echo', async (_from, body) => body)
  const port = await tlsServerPort((socket) => socket.end())
  const handshakes = async (): Promise<number> => {
    for (let count = 0; count < SESSIONS; count += 1) {
      const socket = connectTls({ host: HOST, port, ...credentials(0), rejectUnauthorized: false })
      await once(socket, 'secureConnect')
      socket.destroy()
    }
    return SESSIONS
  }
  const sessions = async (): Promise<number> => {
    for (let count = 0; count < SESSIONS; count += 1) {
      const caller = await meshPeer(0, addresses)
      await caller.request(called.self, 'echo', BODY, LONG)
      await caller.close()
    }
    return SESSIONS
  }
  return [
    { name: 'bare TLS handshakes', unit: '1/s', run: handshakes },
    { name: 'mesh sessions', unit: '1/s', run: sessions },
  ]
}

async function atOnce(count: number, ask: () => Promise<unknown>): Promise<void> {
  let left = count
  const worker = async (): Promise<void> => {
    for (; left > 0; ) {
      left -= 1
      await ask()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

type Addresses = Map<string, readonly PeerAddress[]>

async function meshPair(): Promise<readonly [TlsTransport, TlsTransport, Addresses]> {
  const addresses: Addresses = new Map()
  const [caller, called] = [await meshPeer(0, addresses), await meshPeer(1, addresses)]
  if (called.listening !== undefined) addresses.set(called.self, [{ kind: 'direct', ...called.listening }])
  undo.push(() => Promise.all([caller.close(), called.close()]))
  return [caller, called, addresses]
}

async function meshPeer(place: number, addresses: Addresses): Promise<TlsTransport> {
  const [first, second] = KEYS
  const key = place === 0 ? first : second
  if (key === undefined) throw new Error('two keys')
  const listen = place === 0 ? null : { host: HOST, port: 0 }
  // Penalties are for floods from outside; this one is asked for.
  const limits = { callsPerSecond: 1e9, callsBurst: 1e9, connectsPerSecond: 1e9, connectsBurst: 1e9 }
  return createTlsTransport(
    { listen, swarmKey: null, openTypes: [], limits },
    {
      key,
      clock: systemClock,
      random: systemRandom,
      directory: { addressesOf: (peer) => addresses.get(peer) ?? [], standingOf: () => 'member' },
      onBug: (error) => {
        throw error
      },
    },
  )
}

function credentials(place: number) {
  const key = KEYS[place]
  if (key === undefined) throw new Error('two keys')
  return { ...credentialsOf(key), minVersion: 'TLSv1.3' as const }
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, HOST)
  await once(server, 'listening')
  undo.push(() => server.close())
  return (server.address() as AddressInfo).port
}

async function httpPool(): Promise<Pool> {
  const server = createHttpServer((request, response) => request.pipe(response))
  const pool = new Pool(`http://${HOST}:${await portOf(server)}`, { connections: AT_ONCE })
  undo.push(() => pool.destroy())
  return pool
}

async function httpAsk(pool: Pool): Promise<void> {
  const { body } = await pool.request({ method: 'POST', path: '/echo', body: BODY })
  await body.arrayBuffer()
}

async function http2Session(): Promise<ClientHttp2Session> {
  const server = createSecureServer({ ...credentials(1), requestCert: true, rejectUnauthorized: false })
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/echo') stream.pipe(stream)
    else for (let count = 0; count < FRAMES; count += 1) stream.write(FRAME)
    if (headers[':path'] !== '/echo') stream.end()
  })
  const session = connectHttp2(`https://${HOST}:${await portOf(server)}`, {
    ...credentials(0),
    rejectUnauthorized: false,
  })
  undo.push(() => session.destroy())
  await once(session, 'connect')
  return session
}

function http2Ask(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/echo' })
    stream.on('data', () => {})
    stream.once('end', resolve)
    stream.once('error', reject)
    stream.end(BODY)
  })
}

async function http2Frames(session: ClientHttp2Session): Promise<number> {
  const stream = session.request({ ':path': '/frames' })
  let bytes = 0
  for await (const chunk of stream) bytes += chunk.length
  return bytes / FRAME.length
}

async function tlsServerPort(serve: (socket: TLSSocket) => void): Promise<number> {
  const server = createTlsServer({ ...credentials(1), requestCert: true, rejectUnauthorized: false }, (socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  return portOf(server)
}

async function tlsConnection(serve: (socket: TLSSocket) => void): Promise<TLSSocket> {
  const port = await tlsServerPort(serve)
  const socket = connectTls({ host: HOST, port, ...credentials(0), rejectUnauthorized: false })
  undo.push(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.setNoDelay(true)
  return socket
}

/** Bodies of one length, answered in order: the least that a request can be. */
async function tlsExchange(): Promise<() => Promise<void>> {
  const socket = await tlsConnection((other) => other.pipe(other))
  const waiting: (() => void)[] = []
  let bytes = 0
  socket.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    for (; bytes >= BODY.length; bytes -= BODY.length) waiting.shift()?.()
  })
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve)
      socket.write(BODY)
    })
}

function tlsSocket(): Promise<TLSSocket> {
  return tlsConnection((other) => {
    other.on('data', () => {
      for (let count = 0; count < FRAMES; count += 1) other.write(FRAME)
    })
  })
}

function tlsFrames(socket: TLSSocket): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0
    const read = (chunk: Uint8Array): void => {
      bytes += chunk.length
      if (bytes < FRAMES * FRAME.length) return
      socket.off('data', read)
      resolve(FRAMES)
    }
    socket.on('data', read)
    socket.write(Uint8Array.of(1))
  })
}
