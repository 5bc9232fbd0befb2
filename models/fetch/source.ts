/** Where a model comes from: a hub, an HTTPS address or a file of this machine. */
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FabricError } from '../../core/errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export type WebSource = {
  readonly kind: 'web'
  readonly url: URL
  /** What is recorded and shown: no query, since that may hold a secret. */
  readonly label: string
  readonly fileName: string
  /** Its headers state the digest of the file; the token goes to this origin and nowhere else. */
  readonly hub?: { readonly origin: string; readonly token?: string }
}
export type FileSource = {
  readonly kind: 'file'
  readonly path: string
  readonly label: string
  readonly fileName: string
}
export type Source = WebSource | FileSource

const HUB = 'https://huggingface.co'
const TEXT_CHARS_MAX = 2_048
const TOKEN_CHARS_MAX = 512
const HUB_SOURCE = /^hf:([\w.-]{1,96})\/([\w.-]{1,96})\/([^@]{1,512})(?:@([\w./-]{1,96}))?$/
const SCHEME = /^[a-z][a-z0-9+.-]+:/i
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/**
 * Reads what a person wrote as the source of a model.
 *
 * @param cwd  what a relative path is relative to
 * @returns    undefined when it looks like none of the kinds: it may be an id
 * @throws     FabricError CF_MODEL_SOURCE_INVALID
 */
export function parseSource(text: string, env: Environment, cwd: string): Source | undefined {
  if (text.length > TEXT_CHARS_MAX) throw invalid('source_too_long')
  if (text.startsWith('hf:')) return hubSource(text, env)
  if (text.startsWith('file:')) return fileSource(pathOfUrl(text))
  if (SCHEME.test(text) && !/^[a-z]:\\/i.test(text)) return webSource(text)
  const isPath = /[/\\]/.test(text) || text.endsWith('.gguf') || text.endsWith('.onnx')
  return isPath ? fileSource(resolve(cwd, text)) : undefined
}

/** Where model hubs keep the vocabulary of an ONNX file: at the repository's root, whose `onnx` folder the file may be in. */
export function tokenizerSource(source: Source): Source {
  const name = 'tokenizer.json'
  if (source.kind === 'file') {
    const folder = dirname(source.path)
    return fileSource(join(basename(folder) === 'onnx' ? dirname(folder) : folder, name))
  }
  const url = new URL(source.url)
  url.pathname = url.pathname.replace(/(?:\/onnx)?\/[^/]*$/, `/${name}`)
  const label = source.hub === undefined ? `${url.origin}${url.pathname}` : `${name} of ${source.label}`
  return { ...source, url, label, fileName: name }
}

/**
 * Refuses what would send a model, or the wish for it, over an open line.
 *
 * @param before  the address that redirected here
 * @throws        FabricError CF_MODEL_SOURCE_INVALID
 */
export function checkAddress(url: URL, before?: URL): void {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid('scheme_unknown')
  if (url.username !== '' || url.password !== '') throw invalid('address_has_credentials')
  if (url.protocol === 'https:') return
  if (before?.protocol === 'https:') throw invalid('redirect_leaves_https')
  if (!LOOPBACK.test(url.hostname)) throw invalid('http_is_for_loopback_only')
}

function hubSource(text: string, env: Environment): WebSource {
  const [, owner, repository, path = '', revision = 'main'] = HUB_SOURCE.exec(text) ?? []
  const segments = path.split('/')
  const isPlain = [owner, repository, revision, ...segments].every(
    (segment) => segment !== '' && segment !== '.' && segment !== '..',
  )
  if (owner === undefined || repository === undefined || !isPlain) throw invalid('hub_source_malformed')
  const endpoint = parseUrl(env['HF_ENDPOINT'] || HUB)
  const place = [owner, repository, 'resolve', encodeURIComponent(revision), ...segments.map(encodeURIComponent)]
  const url = new URL(`${endpoint.pathname.replace(/\/+$/, '')}/${place.join('/')}`, endpoint)
  const token = env['HF_TOKEN'] ?? ''
  if (!/^[\x21-\x7e]*$/.test(token) || token.length > TOKEN_CHARS_MAX) throw invalid('hf_token_malformed')
  const hub = { origin: url.origin, ...(token === '' ? {} : { token }) }
  return { kind: 'web', url, label: text, fileName: segments.at(-1) ?? '', hub }
}

function webSource(text: string): WebSource {
  const url = parseUrl(text)
  url.hash = ''
  const fileName = url.pathname.split('/').at(-1) ?? ''
  return { kind: 'web', url, label: `${url.origin}${url.pathname}`, fileName }
}

function parseUrl(text: string): URL {
  if (!URL.canParse(text)) throw invalid('address_malformed')
  const url = new URL(text)
  checkAddress(url)
  return url
}

function pathOfUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch (error) {
    throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'address_malformed' }, error)
  }
}

function fileSource(path: string): FileSource {
  return { kind: 'file', path, label: path, fileName: basename(path) }
}

function invalid(reason: string): FabricError {
  return new FabricError('CF_MODEL_SOURCE_INVALID', { reason })
}
