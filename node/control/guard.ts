/**
 * Who may speak to the API. A loopback port is open to every page of every browser on the machine: the Host check stops DNS rebinding,
 * the Origin check stops cross-site requests; who the caller is and what it may do is said in caller.ts.
 */
import { isIP } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { badRequest } from './problem.ts'

export type GuardOptions = {
  /** The address that the server is bound to. */
  readonly host: string
  /** Extra Host headers that are accepted as they stand, e.g. of a reverse proxy: `fabric.example` or `fabric.example:8443`. */
  readonly allowedHosts: readonly string[]
  /** Origins of web pages that may call the API, e.g. `https://app.example`; the node's own origin always may. */
  readonly allowedOrigins: readonly string[]
  /** Demanded on every route but /healthz; always present when `host` is not loopback. */
  readonly apiKey: string | undefined
  /** Bearer key of the operator, good for every route. */
  readonly adminKey: string
}

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])
const WILDCARDS = new Set(['0.0.0.0', '::'])
const HOST_HEADER = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::([0-9]{1,5}))?$/
const HTTP_PORT = 80
const HEADER_NAMES = /^[a-z0-9-]+(?:\s*,\s*[a-z0-9-]+){0,63}$/i

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Whether a Host header names this very server. @param port  the port that it listens on */
export function isOwnHost(header: string, port: number, options: Pick<GuardOptions, 'host' | 'allowedHosts'>): boolean {
  const lower = header.toLowerCase()
  if (options.allowedHosts.includes(lower)) return true
  const match = HOST_HEADER.exec(lower)
  if (match === null || Number(match[2] ?? HTTP_PORT) !== port) return false
  const name = match[1] ?? ''
  const bare = name.startsWith('[') ? name.slice(1, -1) : name
  if (LOOPBACK_NAMES.has(name) || bare === options.host.toLowerCase()) return true
  // An address literal cannot be rebound by a name server; a name can.
  return WILDCARDS.has(options.host) && isIP(bare) !== 0
}

/** @throws CF_CONTROL_ORIGIN_REFUSED; CF_CONTROL_BAD_REQUEST without a Host header (RFC 9112, 3.2) */
export function checkHost(request: FastifyRequest, port: number, options: GuardOptions): void {
  const hosts = request.raw.headersDistinct['host'] ?? []
  const [host] = hosts
  // An absolute target would carry a host of its own, which RFC 9112 3.2.2 ranks above the header.
  const relative = request.raw.url?.startsWith('/') === true
  if (host === undefined) throw badRequest('host', 'a Host header')
  if (hosts.length > 1 || !relative || !isOwnHost(host, port, options)) {
    throw new FabricError('CF_CONTROL_ORIGIN_REFUSED', { header: 'host' })
  }
}

/**
 * Lets same-origin and allow-listed pages in, with CORS headers for the latter.
 *
 * @returns  true when the request was a preflight and has been answered
 * @throws   CF_CONTROL_ORIGIN_REFUSED
 */
export function checkOrigin(request: FastifyRequest, reply: FastifyReply, options: GuardOptions): boolean {
  const origin = request.headers.origin
  if (origin === undefined) return false
  if (options.allowedOrigins.includes(origin)) {
    void reply.header('access-control-allow-origin', origin).header('vary', 'Origin')
    return answerPreflight(request, reply)
  }
  if (origin.toLowerCase() !== `http://${request.headers.host?.toLowerCase()}`) {
    throw new FabricError('CF_CONTROL_ORIGIN_REFUSED', { header: 'origin' })
  }
  return false
}

function answerPreflight(request: FastifyRequest, reply: FastifyReply): boolean {
  if (request.method !== 'OPTIONS') return false
  const asked = request.headers['access-control-request-headers']
  if (typeof asked === 'string' && HEADER_NAMES.test(asked)) void reply.header('access-control-allow-headers', asked)
  void reply
    .header('access-control-allow-methods', 'GET, POST, DELETE')
    .header('access-control-max-age', '600')
    .code(204)
    .send()
  return true
}
