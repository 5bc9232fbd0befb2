/** One connection's worth of bytes for the HTTP fuzzer, and what must come back. */
import { concatBytes, utf8 } from '../../core/codec/bytes.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Template } from './http-templates.ts'
import { mutateJson } from './json.ts'
import { mutateBytes, pick, randomBytes } from './mutate.ts'

export type Shot = {
  readonly kind: string
  readonly bytes: Uint8Array
  /** What the sender does then: it waits for the answer, ends its side, or is gone at once. */
  readonly ending: 'wait' | 'end' | 'vanish'
  /** Complete requests in it, each of which must be answered; 0 where the bytes decide. */
  readonly answers: number
}

type Framed = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly length?: number
}

const HOST = '127.0.0.1'
const BODY_LIMIT_BYTES = 1_048_576
const HEAD_LIMIT_BYTES = 16_384
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'LINK', 'PROPFIND', 'QUERY']
const TYPES = ['', 'text/plain', 'application/xml', 'application/json; charset=utf-16', 'multipart/form-data', 'a/b;;=']
const TYPE_PATHS = ['/v1/chat/completions', '/v1/embeddings', '/api/v1/p2p/intents', '/api/v1/p2p/simulate', '/nowhere']
const PATH_PARTS = [
  '..',
  '%2e%2e',
  '%00',
  '%zz',
  '%',
  '%ff%fe',
  '//',
  ';',
  '?',
  '?limit=-1',
  '?limit=1e9',
  '#',
  '\u007f',
  'é',
]
const ODD_HEADERS: Readonly<Record<string, string>>[] = [
  { expect: '100-continue' },
  { authorization: 'Bearer ' },
  { authorization: `Bearer ${'k'.repeat(300)}` },
  { origin: 'null' },
  { origin: 'http://evil.example' },
  { 'idempotency-key': 'x'.repeat(1_000) },
  { 'last-event-id': '-1' },
  { accept: 'text/event-stream' },
  { 'accept-encoding': 'gzip, br, \u00ff' },
  { 'content-encoding': 'gzip' },
  { upgrade: 'websocket', connection: 'upgrade, close' },
  { range: 'bytes=0-' },
]

/** The ways to build a shot, each with how often it is taken. */
const WAYS: readonly (readonly [kind: string, weight: number, make: Make])[] = [
  ['valid', 4, (template) => single(frame(template))],
  ['json changed', 30, (template, random) => single(frame(withJson(template, random)))],
  ['body bytes changed', 12, (template, random) => single(frame(withBytes(template, random)))],
  [
    'body of random bytes',
    4,
    (template, random) => single(frame({ ...template, method: 'POST', bytes: randomBytes(random) })),
  ],
  ['deep JSON', 2, (template, random) => single(frame({ ...post(template, random), bytes: deep(random) }))],
  ['content type', 4, (template, random) => single(typed(template, random))],
  ['method', 4, (template, random) => single(frame(template, { method: pick(METHODS, random) }))],
  ['path', 8, (template, random) => single(frame({ ...template, path: oddPath(template.path, random) }))],
  ['header', 6, (template, random) => single(frame(template, { headers: pick(ODD_HEADERS, random) }))],
  ['huge header', 2, (template, random) => ({ ...free(hugeHeader(template, random)), ending: 'wait', answers: 1 })],
  ['body over the limit', 1, (template, random) => ({ ...free(oversized(template, random)), answers: 1 })],
  ['pipelined', 5, pipelined],
  ['length too long', 3, (template, random) => free(frame(template, { length: 1 + random.below(5_000) }))],
  ['length too short', 3, (template) => free(frame(template, { length: 1 }))],
  ['chunked', 3, (template, random) => free(chunked(template, random))],
  ['head bytes changed', 8, (template, random) => free(mutateBytes(frame(template), frame(template), random))],
  ['random bytes', 4, (_template, random) => free(randomBytes(random))],
  ['half a request, then gone', 5, half],
]

type Make = (template: Template, random: SeededRandom, templates: readonly Template[]) => Omit<Shot, 'kind'>

const WEIGHTS = WAYS.reduce((sum, [, weight]) => sum + weight, 0)

export function nextShot(templates: readonly Template[], random: SeededRandom): Shot {
  let left = random.below(WEIGHTS)
  const way = WAYS.find(([, weight]) => {
    left -= weight
    return left < 0
  })
  if (way === undefined) throw new Error('the weights cover the range')
  const [kind, , make] = way
  return { kind, ...make(pick(templates, random), random, templates) }
}

function single(bytes: Uint8Array): Omit<Shot, 'kind'> {
  return { bytes, ending: 'wait', answers: 1 }
}

function free(bytes: Uint8Array): Omit<Shot, 'kind'> {
  return { bytes, ending: 'end', answers: 0 }
}

function bodyOf({ json, bytes }: Template): Uint8Array | undefined {
  return bytes ?? (json === undefined ? undefined : utf8(JSON.stringify(json)))
}

/** A request as bytes; the last of its connection unless it says otherwise. */
function frame(template: Template, { method = template.method, headers = {}, length }: Framed = {}): Uint8Array {
  const body = bodyOf(template)
  const all: Record<string, string> = { host: HOST_MARK, connection: 'close' }
  if (body !== undefined) all['content-type'] = 'application/json'
  Object.assign(all, template.headers, headers)
  if (body !== undefined || length !== undefined) all['content-length'] = String(length ?? body?.length ?? 0)
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = Buffer.from(`${method} ${template.path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  return concatBytes(head, body ?? new Uint8Array())
}

/** Stands for the address, of one length with every port: shots are made before there is one. */
const HOST_MARK = `${HOST}:@@@@@`

/** Puts the port in. */
export function addressed(bytes: Uint8Array, port: number): Buffer {
  const text = Buffer.from(bytes).toString('latin1').replaceAll(HOST_MARK, `${HOST}:${port}`)
  return Buffer.from(text, 'latin1')
}

function post(template: Template, random: SeededRandom): Template {
  return template.json === undefined ? { method: 'POST', path: pick(TYPE_PATHS, random) } : template
}

function withJson(template: Template, random: SeededRandom): Template {
  let json = template.json
  if (json === undefined) return withBytes(template, random)
  for (let left = 1 + random.below(3); left > 0; left -= 1) json = mutateJson(json, random)
  return { ...template, json }
}

function withBytes(template: Template, random: SeededRandom): Template {
  const body = bodyOf(template) ?? utf8('{"model":"cfab-tiny"}')
  return { ...template, method: 'POST', bytes: mutateBytes(body, body, random) }
}

function deep(random: SeededRandom): Uint8Array {
  const depth = 10 ** (1 + random.below(5))
  const closed = random.below(2) === 0
  return utf8(
    random.below(2) === 0
      ? `${'['.repeat(depth)}${closed ? ']'.repeat(depth) : ''}`
      : `{"model":"cfab-tiny","messages":${'{"a":'.repeat(depth)}1${closed ? '}'.repeat(depth + 1) : ''}`,
  )
}

function typed(template: Template, random: SeededRandom): Uint8Array {
  return frame(post(template, random), { headers: { 'content-type': pick(TYPES, random) } })
}

function oddPath(path: string, random: SeededRandom): string {
  const at = 1 + random.below(path.length)
  const part = random.below(6) === 0 ? 'a'.repeat(1 + random.below(9_000)) : pick(PATH_PARTS, random)
  return path.slice(0, at) + part + path.slice(at + random.below(4))
}

function hugeHeader(template: Template, random: SeededRandom): Uint8Array {
  const one = random.below(2) === 0
  const headers = one
    ? { 'x-huge': 'x'.repeat(HEAD_LIMIT_BYTES + random.below(100_000)) }
    : Object.fromEntries(Array.from({ length: 3_000 }, (_, index) => [`x-header-${index}`, 'value']))
  return frame({ method: 'GET', path: template.path }, { headers })
}

function oversized(template: Template, random: SeededRandom): Uint8Array {
  const bytes = utf8(JSON.stringify({ model: 'x'.repeat(BODY_LIMIT_BYTES + random.below(BODY_LIMIT_BYTES)) }))
  return frame({ ...post(template, random), bytes })
}

/** Several requests in one piece, the last of which closes. */
function pipelined(_template: Template, random: SeededRandom, templates: readonly Template[]): Omit<Shot, 'kind'> {
  const short = templates.filter(({ method, path }) => method === 'GET' && !path.endsWith('/events'))
  const count = 2 + random.below(6)
  const requests = Array.from({ length: count }, (_, place) =>
    frame(pick(short, random), { headers: place + 1 < count ? { connection: 'keep-alive' } : {} }),
  )
  return { bytes: concatBytes(...requests), ending: 'wait', answers: count }
}

function chunked(template: Template, random: SeededRandom): Uint8Array {
  const body = bodyOf(template) ?? utf8('{}')
  const at = random.below(body.length + 1)
  const size = (bytes: Uint8Array) =>
    random.below(8) === 0 ? pick(['-1', 'zz', 'ffffffffffffffff', '0'], random) : bytes.length.toString(16)
  const chunk = (bytes: Uint8Array) => concatBytes(utf8(`${size(bytes)}\r\n`), bytes, utf8('\r\n'))
  const parts = [body.subarray(0, at), body.subarray(at)].filter((part) => part.length > 0).map(chunk)
  const head = frame(
    { method: 'POST', path: template.path },
    { headers: { 'transfer-encoding': 'chunked', 'content-type': 'application/json' } },
  )
  return concatBytes(head, ...parts, utf8(random.below(4) === 0 ? '' : '0\r\n\r\n'))
}

function half(template: Template, random: SeededRandom): Omit<Shot, 'kind'> {
  const whole = frame(template)
  return {
    bytes: whole.subarray(0, random.below(whole.length)),
    ending: random.below(2) === 0 ? 'vanish' : 'end',
    answers: 0,
  }
}
