import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import { checkAddress, parseSource } from '../../../models/fetch/source.ts'

function reasonOf(work: () => unknown): string {
  try {
    work()
    return 'accepted'
  } catch (error) {
    if (!(error instanceof FabricError)) throw error
    return error.code === 'CF_MODEL_SOURCE_INVALID' ? String(error.detail['reason']) : error.code
  }
}
const urlOf = (text: string, env = {}): string | undefined => {
  const source = parseSource(text, env, '/cwd')
  return source?.kind === 'web' ? source.url.href : source?.path
}

test('a hub source becomes the address of the file at its revision', () => {
  assert.is(urlOf('hf:a/b/c.gguf'), 'https://huggingface.co/a/b/resolve/main/c.gguf')
  assert.is(urlOf('hf:a/b/d/c 1.gguf@refs/pr/2'), 'https://huggingface.co/a/b/resolve/refs%2Fpr%2F2/d/c%201.gguf')
})

test('HF_ENDPOINT moves the hub, and the token belongs to its origin', () => {
  const env = { HF_ENDPOINT: 'https://mirror.example/hub/', HF_TOKEN: 'secret' }
  const source = parseSource('hf:a/b/c.gguf', env, '/')
  assert.is(source?.kind === 'web' ? source.url.href : '', 'https://mirror.example/hub/a/b/resolve/main/c.gguf')
  assert.equal(source?.kind === 'web' ? source.hub : {}, { origin: 'https://mirror.example', token: 'secret' })
})

test('a plain address carries no token, and what is recorded of it no query', () => {
  const source = parseSource('https://x.example/d/m.gguf?key=secret#part', { HF_TOKEN: 'secret' }, '/')
  assert.equal(source?.kind === 'web' ? [source.label, source.hub, source.url.href, source.fileName] : [], [
    'https://x.example/d/m.gguf',
    undefined,
    'https://x.example/d/m.gguf?key=secret',
    'm.gguf',
  ])
})

test('a path is a path, a bare word may be an id', () => {
  assert.is(urlOf('./m.gguf'), '/cwd/m.gguf')
  assert.is(urlOf('m.gguf'), '/cwd/m.gguf')
  assert.is(urlOf('file:///d/m.gguf'), '/d/m.gguf')
  assert.is(parseSource('qwen3-0.6b', {}, '/'), undefined)
})

const REFUSED: readonly (readonly [text: string, env: Record<string, string>, reason: string])[] = [
  ['http://example.com/m.gguf', {}, 'http_is_for_loopback_only'],
  ['http://127.0.0.1.example.com/m.gguf', {}, 'http_is_for_loopback_only'],
  ['ftp://example.com/m.gguf', {}, 'scheme_unknown'],
  ['https://user:word@example.com/m.gguf', {}, 'address_has_credentials'],
  ['https://', {}, 'address_malformed'],
  ['hf:a/b', {}, 'hub_source_malformed'],
  ['hf:a/b/../c.gguf', {}, 'hub_source_malformed'],
  ['hf:../b/c.gguf', {}, 'hub_source_malformed'],
  ['hf:a/../c.gguf', {}, 'hub_source_malformed'],
  ['hf:a/b/c.gguf@..', {}, 'hub_source_malformed'],
  ['hf:a/b//c.gguf', {}, 'hub_source_malformed'],
  ['hf:a/b/c.gguf@', {}, 'hub_source_malformed'],
  ['hf:a/b/c.gguf', { HF_ENDPOINT: 'http://hub.example' }, 'http_is_for_loopback_only'],
  ['hf:a/b/c.gguf', { HF_TOKEN: 'a\r\nhost: b' }, 'hf_token_malformed'],
  [`https://example.com/${'x'.repeat(3_000)}`, {}, 'source_too_long'],
]
for (const [text, env, reason] of REFUSED) {
  test(`${JSON.stringify(text.slice(0, 40))} with ${JSON.stringify(env)} is refused: ${reason}`, () => {
    assert.is(
      reasonOf(() => parseSource(text, env, '/')),
      reason,
    )
  })
}

test('plain http is for loopback, and never after https', () => {
  const check = (url: string, before?: string): string =>
    reasonOf(() => checkAddress(new URL(url), before === undefined ? undefined : new URL(before)))
  assert.is(check('http://localhost:80/'), 'accepted')
  assert.is(check('http://[::1]:80/'), 'accepted')
  assert.is(check('http://127.1.2.3/', 'http://127.0.0.1/'), 'accepted')
  assert.is(check('https://a.example/', 'http://127.0.0.1/'), 'accepted')
  assert.is(check('http://127.0.0.1/', 'https://a.example/'), 'redirect_leaves_https')
  assert.is(check('http://10.0.0.1/'), 'http_is_for_loopback_only')
})

test.run()
