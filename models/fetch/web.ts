/** One request for a model file: proxies, redirects and who may see the token. RFC 9110; proxy variables as curl reads them. */
import { type Dispatcher, EnvHttpProxyAgent } from 'undici'
import { FabricError } from '../../core/errors.ts'
import { checkAddress, type Environment, type WebSource } from './source.ts'

export type Answer = {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly body: AsyncIterable<Uint8Array>
  /** Throws the rest of the body away. */
  readonly discard: () => Promise<void>
  /** What the hub itself says of the file, on its own origin; nobody else is asked. */
  readonly stated: { readonly digest?: string; readonly bytes?: number }
}
export type Web = {
  get(source: WebSource, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer>
  close(): Promise<void>
}

type Response = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>

const REDIRECTS_MAX = 5
const CONNECT_MS = 15_000
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const AGENT = 'cfab-node'

/** @param idleMs  longest silence of a server before its answer and within it */
export function openWeb(env: Environment, idleMs: number): Web {
  const variable = (name: string): string => env[name] ?? env[name.toUpperCase()] ?? ''
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: variable('http_proxy'),
    httpsProxy: variable('https_proxy'),
    noProxy: variable('no_proxy'),
    headersTimeout: idleMs,
    bodyTimeout: idleMs,
    connect: { timeout: CONNECT_MS },
    allowH2: false,
  })
  return {
    get: (source, headers, signal) => get(dispatcher, source, headers, signal),
    close: () => dispatcher.destroy(),
  }
}

/** @throws CF_MODEL_SOURCE_INVALID for a redirect that may not be followed; whatever the network throws */
async function get(
  dispatcher: Dispatcher,
  source: WebSource,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  let url = source.url
  let stated: Answer['stated'] = {}
  for (let hop = 0; hop <= REDIRECTS_MAX; hop += 1) {
    const isHub = url.origin === source.hub?.origin
    const token = isHub ? source.hub?.token : undefined
    const sent = {
      ...headers,
      'user-agent': AGENT,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    }
    const response = await dispatcher.request({
      ...{ origin: url.origin, path: `${url.pathname}${url.search}`, method: 'GET', headers: sent, signal },
    })
    if (isHub) stated = { ...stated, ...statedIn(response) }
    const location = REDIRECTS.has(response.statusCode) ? headerOf(response, 'location') : undefined
    if (location === undefined) return answerOf(response, stated)
    await response.body.dump()
    if (!URL.canParse(location, url.href))
      throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'redirect_malformed' })
    const next = new URL(location, url)
    checkAddress(next, url)
    url = next
  }
  throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'too_many_redirects', redirectsMax: REDIRECTS_MAX })
}

function answerOf(response: Response, stated: Answer['stated']): Answer {
  return {
    status: response.statusCode,
    header: (name) => headerOf(response, name),
    body: response.body,
    discard: () => response.body.dump(),
    stated,
  }
}

/** A hub names a large file by its sha256: as the linked file's tag when it redirects, as the entity tag when it serves it. */
function statedIn(response: Response): Answer['stated'] {
  const tag =
    headerOf(response, 'x-linked-etag') ?? (response.statusCode < 300 ? headerOf(response, 'etag') : undefined)
  const digest = /^(?:W\/)?"?([0-9a-f]{64})"?$/i.exec(tag ?? '')?.[1]?.toLowerCase()
  const size = headerOf(response, 'x-linked-size') ?? ''
  return {
    ...(digest === undefined ? {} : { digest }),
    ...(/^[0-9]{1,15}$/.test(size) ? { bytes: Number(size) } : {}),
  }
}

/** The first value: a header that came twice is a list. */
function headerOf({ headers }: Response, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** Codes of an error and of what caused it, outermost first. */
export function errorCodes(error: unknown): readonly string[] {
  const codes: string[] = []
  let at = error
  for (let depth = 0; depth < 5 && typeof at === 'object' && at !== null; depth += 1) {
    if ('code' in at && typeof at.code === 'string') codes.push(at.code)
    at = 'cause' in at ? at.cause : undefined
  }
  return codes
}
