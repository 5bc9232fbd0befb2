/** Who may speak to the API: hostile Host and Origin headers, keys, bytes that are not HTTP. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isLoopback, isOwnHost } from '../../node/control/guard.ts'
import type { ControlOptions } from '../../node/control/server.ts'
import { ADMIN_KEY, ask, askRaw, withControl } from '../support/control.ts'
import { codeOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'

const errorCode = (body: string): unknown => Object(Object(JSON.parse(body)).error).code

test(
  'a Host that is not this server is refused on every route',
  within(5_000, () =>
    withControl(async ({ url, control }) => {
      const { port } = control
      const hostile = [
        'evil.example',
        `evil.example:${port}`,
        `127.0.0.1:${port + 1}`,
        '127.0.0.1',
        `localhost.evil.example:${port}`,
      ]
      const worse = [
        `127.0.0.1:${port}@evil.example`,
        `127.0.0.1.nip.io:${port}`,
        `[::2]:${port}`,
        `localhost:${port}#`,
      ]
      for (const host of [...hostile, ...worse]) {
        for (const path of ['/v1/models', '/healthz', '/nowhere']) {
          const { status, body } = await ask(url + path, { headers: { host } })
          assert.equal([status, errorCode(body)], [403, 'CF_CONTROL_ORIGIN_REFUSED'], host)
        }
      }
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
        assert.is((await ask(`${url}/v1/models`, { headers: { host } })).status, 200, host)
      }
    }),
  ),
)

test(
  'two Host headers, none, or an absolute target get nowhere',
  within(5_000, () =>
    withControl(async ({ control: { port } }) => {
      const own = `127.0.0.1:${port}`
      const twice = await askRaw(
        port,
        `GET /v1/models HTTP/1.1\r\nHost: ${own}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
      )
      const none = await askRaw(port, 'GET /v1/models HTTP/1.0\r\n\r\n')
      const absolute = await askRaw(
        port,
        `GET http://evil.example/v1/models HTTP/1.1\r\nHost: ${own}\r\nConnection: close\r\n\r\n`,
      )
      const empty = await askRaw(port, 'GET /v1/models HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n')
      for (const answer of [twice, absolute, empty]) assert.match(answer, /^HTTP\/1\.1 403 /)
      assert.match(none, /^HTTP\/1\.1 400 /)
    }),
  ),
)

test(
  'what is not HTTP is answered in the same error shape',
  within(5_000, () =>
    withControl(async ({ control: { port }, url }) => {
      for (const bytes of ['\x16\x03\x01\x02', 'HELLO\r\n\r\n', `GET / HTTP/1.1\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`]) {
        const answer = await askRaw(port, bytes)
        assert.match(answer, /^HTTP\/1\.1 4/)
        assert.is(errorCode(answer.slice(answer.indexOf('{'))), 'CF_CONTROL_BAD_REQUEST')
      }
      assert.is((await ask(`${url}/healthz`)).status, 200)
    }),
  ),
)

test(
  'no foreign page may call, read or preflight',
  within(5_000, () =>
    withControl(async ({ url, control: { port }, app }) => {
      const body = JSON.stringify({ model: 'cfab-tiny', messages: [{ role: 'user', content: 'hi' }] })
      for (const origin of [
        'https://evil.example',
        'null',
        `http://evil.example:${port}`,
        `https://127.0.0.1:${port}`,
        `http://localhost:${port}`,
      ]) {
        for (const method of ['POST', 'OPTIONS', 'GET']) {
          const path = method === 'GET' ? '/v1/models' : '/v1/chat/completions'
          const answer = await ask(url + path, {
            method,
            headers: { origin, 'content-type': 'application/json' },
            ...(method === 'POST' ? { body } : {}),
          })
          assert.equal(
            [answer.status, answer.headers['access-control-allow-origin']],
            [403, undefined],
            `${method} ${origin}`,
          )
        }
      }
      assert.is(app.requests.length, 0)
      assert.is((await ask(`${url}/v1/models`, { headers: { origin: url } })).status, 200, 'the own page may')
    }),
  ),
)

test(
  'an allow-listed page gets CORS headers, also on streams',
  within(5_000, () =>
    withControl(
      async ({ url }) => {
        const origin = 'https://app.example'
        const preflight = await ask(`${url}/v1/chat/completions`, {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-headers': 'content-type, idempotency-key',
            'access-control-request-method': 'POST',
          },
        })
        assert.equal(
          [preflight.status, preflight.headers['access-control-allow-headers']],
          [204, 'content-type, idempotency-key'],
        )
        const body = JSON.stringify({ model: 'cfab-tiny', stream: true, messages: [{ role: 'user', content: 'hi' }] })
        const stream = await ask(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { origin, 'content-type': 'application/json' },
          body,
        })
        assert.equal([stream.status, stream.headers['access-control-allow-origin']], [200, origin])
      },
      { allowedOrigins: ['https://app.example'] },
    ),
  ),
)

test(
  'mint, reward and transfer demand the admin key',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const bodies: Readonly<Record<string, object>> = {
        mint: { account_type: 'user', account_id: app.user, amount: '1', reason: 'test' },
        reward: { node_id: app.node, amount: '1', reason: 'test' },
        transfer: { from: `user/${app.user}`, to: `node/${app.node}`, amount: '1', reason: 'test' },
      }
      for (const [route, body] of Object.entries(bodies)) {
        const post = (authorization?: string) =>
          ask(`${url}/api/v1/credits/${route}`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) },
            body: JSON.stringify(body),
          })
        for (const wrong of [
          undefined,
          'Bearer',
          'Bearer x',
          `Basic ${ADMIN_KEY}`,
          `Bearer ${ADMIN_KEY}x`,
          `Bearer ${'a'.repeat(9_000)}`,
        ]) {
          const { status, body: answer } = await post(wrong)
          assert.equal([status, errorCode(answer)], [401, 'CF_CONTROL_UNAUTHORIZED'])
        }
        assert.is((await post(`Bearer ${ADMIN_KEY}`)).status, 200, route)
      }
      assert.is(app.transfers({ limit: 10 }).length, 3)
    }),
  ),
)

test(
  'beyond loopback every route but healthz demands a key',
  within(5_000, () =>
    withControl(
      async ({ control: { port } }) => {
        const url = `http://127.0.0.1:${port}`
        assert.is((await ask(`${url}/healthz`)).status, 200)
        for (const path of ['/readyz', '/v1/models', '/api/v1/status', '/api/v1/p2p/genesis', '/nowhere']) {
          assert.is((await ask(url + path)).status, 401, path)
        }
        for (const key of ['the api key', ADMIN_KEY]) {
          const { status } = await ask(`${url}/v1/models`, {
            headers: { authorization: `Bearer ${key.replaceAll(' ', '-')}` },
          })
          assert.is(status, 200)
        }
      },
      { host: '0.0.0.0', apiKey: 'the-api-key' },
    ),
  ),
)

test(
  'an address beyond loopback without a key, and a busy port, are refused at the start',
  within(5_000, () =>
    withControl(async ({ control }) => {
      const another = (options: Partial<ControlOptions>) => codeOf(withControl(async () => undefined, options))
      assert.is(await another({ host: '0.0.0.0' }), 'CF_CONFIG_INVALID')
      assert.is(await another({ port: control.port }), 'CF_CONTROL_PORT_BUSY')
      assert.is(await another({}), 'resolved')
    }),
  ),
)

test('loopback and own hosts are told apart from look-alikes', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '::1']) assert.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.evil.example', '128.0.0.1', ''])
    assert.not(isLoopback(host), host)
  const wild = { host: '0.0.0.0', allowedHosts: ['fabric.example'] }
  for (const host of ['10.1.2.3:7733', '[fe80::1]:7733', 'fabric.example', 'Fabric.Example'])
    assert.ok(isOwnHost(host, 7733, wild), host)
  for (const host of ['box:7733', 'fabric.example:7733', '10.1.2.3', '10.1.2.3.evil.example:7733'])
    assert.not(isOwnHost(host, 7733, wild), host)
})

test.run()
