/** A peer that keeps to no rule: sockets and HTTP/2 by hand, with a real certificate or none. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import type { KeyPair } from '../../core/identity/keys.ts'
import { credentialsOf } from '../../node/mesh/tls/certificate.ts'
import { ALPN } from '../../node/mesh/tls/wire.ts'
import { keyOfSeed, LOOPBACK } from './mesh.ts'

export type RawAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders }

/** A connection on which nothing has been said. */
export function rawTcp(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: LOOPBACK, port }, () => resolve(socket))
    socket.on('error', () => resolve(socket))
  })
}

/** @returns undefined when the handshake fails. @param options  in place of a peer's certificate */
export function rawTls(port: number, options: ConnectionOptions): Promise<TLSSocket | undefined> {
  return new Promise((resolve) => {
    const socket = connectTls(
      { host: LOOPBACK, port, rejectUnauthorized: false, ALPNProtocols: [ALPN], ...options },
      () => resolve(socket),
    )
    socket.on('error', () => resolve(undefined))
    socket.on('close', () => resolve(undefined))
  })
}

/** A session that has said hello. @param key  or the seed of one */
export async function rawSession(port: number, key: KeyPair | number): Promise<ClientHttp2Session> {
  const socket = await rawTls(port, credentialsOf(typeof key === 'number' ? keyOfSeed(key) : key))
  if (socket === undefined) throw new Error('the handshake failed')
  const session = connectHttp2('https://mesh', { createConnection: () => socket })
  session.on('error', () => {})
  await answerOf(rawRequest(session, '/mesh/v1/hello'))
  return session
}

/** A request whose body is still to be written. */
export function rawRequest(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string | number>> = {},
): ClientHttp2Stream {
  const stream = session.request(
    { ':method': 'POST', ':path': path, ...headers },
    { endStream: path.endsWith('hello') },
  )
  stream.on('error', () => {})
  return stream
}

/** Status 0: it was cut without an answer. */
export function answerOf(stream: ClientHttp2Stream): Promise<RawAnswer> {
  return new Promise((resolve) => {
    stream.once('response', (headers) => resolve({ status: Number(headers[':status']), headers }))
    stream.once('close', () => resolve({ status: 0, headers: {} }))
  })
}
