/** Streams that do not go as planned: hang-ups, slow readers, late verdicts, a full house, a stop. */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ask, askJson, askRaw, type TestControl, withControl } from '../support/control.ts'
import { FAKE_TEXT } from '../support/fake-jobs.ts'
import { within } from '../support/within.ts'

const chat = (content: string, stream = true, more: object = {}) => ({
  model: 'cfab-tiny',
  stream,
  messages: [{ role: 'user', content }],
  ...more,
})

/** Opens a request and hands over its response as soon as the head is there. */
function open(
  url: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ response: IncomingMessage; hangUp: () => void }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', ...headers },
    })
    request.once('response', (response) => {
      response.on('error', () => undefined)
      resolve({ response, hangUp: () => request.destroy() })
    })
    request.once('error', reject)
    request.end(JSON.stringify(body))
  })
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const dataOf = (body: string): readonly string[] =>
  body.split('\n\n').flatMap((frame) => (frame.startsWith('data: ') ? [frame.slice(6)] : []))
const parsed = (json: string | undefined): Record<string, unknown> => Object(JSON.parse(json ?? 'null'))

test(
  'a client that hangs up while tokens come cancels its job',
  within(5_000, (signal) =>
    withControl(async ({ app, url }) => {
      const { response, hangUp } = await open(`${url}/v1/chat/completions`, chat('slow'))
      response.resume()
      assert.equal(app.cancelled, [])
      hangUp()
      await until(() => app.cancelled.length === 1, signal)
    }),
  ),
)

test(
  'a client that hangs up while it waits for a whole answer cancels its job',
  within(5_000, (signal) =>
    withControl(async ({ app, url }) => {
      const request = httpRequest(`${url}/v1/chat/completions`, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json' },
      })
      request.on('error', () => undefined)
      request.end(JSON.stringify(chat('slow', false)))
      await until(() => app.requests.length === 1, signal)
      request.destroy()
      await until(() => app.cancelled.length === 1, signal)
    }),
  ),
)

test(
  'a hang-up after the text, or under an Idempotency-Key, cancels nothing',
  within(5_000, (signal) =>
    withControl(
      async ({ app, url }) => {
        const late = await open(`${url}/v1/chat/completions`, chat('late'))
        for await (const part of late.response) if (String(part).includes('"stop"')) break
        late.hangUp()
        const keyed = await open(`${url}/v1/chat/completions`, chat('slow'), { 'idempotency-key': 'mine' })
        keyed.hangUp()
        await until(() => app.requests.length === 2, signal)
        await new Promise((resolve) => setTimeout(resolve, 50))
        assert.equal(app.cancelled, [])
      },
      { bounds: { outcomeWaitMs: 2_000 } },
    ),
  ),
)

test(
  'a verdict that is not in time is pending, with the receipt to follow',
  within(5_000, () =>
    withControl(async ({ url }) => {
      const whole = parsed((await askJson(`${url}/v1/chat/completions`, chat('late', false))).body)
      const events = dataOf((await askJson(`${url}/v1/chat/completions`, chat('late'))).body)
      for (const cfab of [whole['cfab'], parsed(events.at(-2))['cfab']]) {
        const { outcome, cost, refund, receipt_url: url } = Object(cfab)
        assert.equal([outcome, cost, refund], ['pending', null, null])
        assert.match(url, /^\/api\/v1\/p2p\/receipts\/[0-9a-f]{64}$/)
      }
      assert.is(events.at(-1), '[DONE]')
    }),
  ),
)

test(
  'a rejected answer still says what it cost and why',
  within(5_000, () =>
    withControl(async ({ url }) => {
      const events = dataOf((await askJson(`${url}/v1/chat/completions`, chat('reject'))).body)
      const { outcome, reason, cost, refund } = Object(parsed(events.at(-2))['cfab'])
      assert.equal([outcome, reason, cost, refund], ['rejected', 'output_rejected', '0', '0.02'])
    }),
  ),
)

test(
  'a reader that takes nothing is hung up on, and its job cancelled',
  within(8_000, (signal) =>
    withControl(
      async ({ app, url }) => {
        const { response } = await open(`${url}/v1/chat/completions`, chat('flood 100000'))
        response.pause()
        await until(() => app.cancelled.length === 1, signal)
      },
      { bounds: { stalledReaderMs: 100 } },
    ),
  ),
)

test(
  'a reader that takes nothing of what ends an answer is hung up on too',
  within(8_000, () =>
    withControl(
      async ({ control, url }) => {
        const socket = connect(control.port, '127.0.0.1')
        socket.on('error', () => undefined).pause()
        const closed = new Promise((resolve) => socket.once('close', resolve))
        const input = Array.from({ length: 256 }, (_, index) => `text ${index}`)
        const body = JSON.stringify({ model: 'use-lite-en', input })
        const answered = async (): Promise<number> => {
          const { body } = await ask(`${url}/metrics`)
          return Number(/^cfab_http_requests_total\{.*embeddings.* (\d+)$/m.exec(body)?.[1] ?? 0)
        }
        // One after the other until the buffers of the system are full: the last one is over when its reader is given up.
        for (let asked = 1; asked <= 10; asked += 1) {
          socket.write(wire(control.port, '/v1/embeddings', body, '1.1', 'keep-alive'))
          // By sending more, seldom enough, a client that does not read learns that the server has closed.
          for (let poll = 0; (await answered()) < asked && !socket.destroyed; poll += 1) {
            await new Promise((resolve) => setTimeout(resolve, 10))
            if (poll % 30 === 29) socket.write('\r\n')
          }
        }
        socket.resume()
        await closed
      },
      { bounds: { stalledReaderMs: 100 } },
    ),
  ),
)

test(
  'a stream whose client takes nothing does not outlive a stop',
  within(8_000, (signal) =>
    withControl(async ({ app, control, url }) => {
      const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
      const before = timers()
      const { response } = await open(`${url}/v1/chat/completions`, chat('flood 200000'))
      response.pause()
      await until(() => timers() > before, signal)
      await control.stop()
      await until(() => timers() <= before, signal)
      assert.equal(app.cancelled, [])
    }),
  ),
)

test(
  'sixteen choices that wait for one slow reader wait together',
  within(8_000, () =>
    withControl(async ({ url }) => {
      const warnings: string[] = []
      const hear = ({ message }: Error): void => void warnings.push(message)
      process.on('warning', hear)
      const body = { model: 'cfab-tiny', stream: true, n: 8, max_tokens: 2_000, prompt: ['flood 2000', 'flood 2000'] }
      const { response } = await open(`${url}/v1/completions`, body)
      for await (const _ of response) await new Promise((resolve) => setTimeout(resolve, 1))
      process.off('warning', hear)
      assert.equal(warnings, [])
    }),
  ),
)

test(
  'a client that repeats the nonce of a job and hangs up does not cancel it for who began it',
  within(5_000, (signal) =>
    withControl(async ({ app, url }) => {
      const again = chat('slow', true, { cfab: { nonce: '7' } })
      const [first, second] = [
        await open(`${url}/v1/chat/completions`, again),
        await open(`${url}/v1/chat/completions`, again),
      ]
      second.hangUp()
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal(app.cancelled, [])
      first.hangUp()
      await until(() => app.cancelled.length === 1, signal)
    }),
  ),
)

test(
  'a slow reader gets every token',
  within(8_000, () =>
    withControl(async ({ app, url }) => {
      const { response } = await open(`${url}/v1/chat/completions`, chat('flood 20000'))
      let tokens = 0
      let bytes = 0
      for await (const part of response) {
        tokens += String(part).split('0123456789abcdef').length - 1
        bytes += part.length
        if (bytes % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      }
      assert.ok(tokens > 19_900, `${tokens} of 20000 tokens, less those that parts cut`)
      assert.equal(app.cancelled, [])
    }),
  ),
)

test(
  'one client more than the house holds is told to come back',
  within(5_000, (signal) =>
    withControl(
      async ({ app, url }) => {
        const first = await open(`${url}/v1/chat/completions`, chat('slow'))
        const refused = await askJson(`${url}/v1/chat/completions`, chat('hello'))
        assert.is(refused.status, 429)
        assert.is(refused.headers['retry-after'], '1')
        assert.match(refused.body, 'CF_CONTROL_TOO_MANY_STREAMS')
        assert.is(app.requests.length, 1, 'the refused one was never submitted')
        first.hangUp()
        await until(() => app.cancelled.length === 1, signal)
        assert.is((await askJson(`${url}/v1/chat/completions`, chat('hello'))).status, 200)
      },
      { bounds: { streamCountMax: 1 } },
    ),
  ),
)

test(
  'a stop says so on open streams, cancels no job and frees the port',
  within(5_000, () =>
    withControl(async ({ app, control, url }) => {
      const { response } = await open(`${url}/v1/chat/completions`, chat('slow'))
      let body = ''
      response.on('data', (part) => {
        body += String(part)
      })
      const ended = new Promise((resolve) => response.once('close', resolve))
      await control.stop()
      await ended
      assert.match(body, 'CF_CONTROL_SHUTTING_DOWN')
      assert.equal(app.cancelled, [])
      await ask(`${url}/healthz`).then(
        () => assert.unreachable('the port is closed'),
        (error: unknown) => assert.match(String(error), 'ECONNREFUSED'),
      )
    }),
  ),
)

/** A chat request as it goes over the wire. */
function wireOf(port: number, content: string, version: string, connection: string): string {
  return wire(port, '/v1/chat/completions', JSON.stringify(chat(content)), version, connection)
}

function wire(port: number, path: string, body: string, version: string, connection: string): string {
  const head = [
    `POST ${path} HTTP/${version}`,
    `Host: 127.0.0.1:${port}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Connection: ${connection}`,
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

/** The bodies of chunked responses that follow each other, after RFC 9112 7.1; throws where a chunk is not as long as it says. */
function unchunked(wire: string): readonly string[] {
  const bodies: string[] = []
  let rest = Buffer.from(wire)
  while (rest.length > 0) {
    rest = rest.subarray(rest.indexOf('\r\n\r\n') + 4)
    let body = ''
    for (let size = -1; size !== 0; ) {
      const lineEnd = rest.indexOf('\r\n')
      size = Number.parseInt(rest.toString('latin1', 0, lineEnd), 16)
      body += rest.toString('utf8', lineEnd + 2, lineEnd + 2 + size)
      assert.is(rest.toString('latin1', lineEnd + 2 + size, lineEnd + 4 + size), '\r\n')
      rest = rest.subarray(lineEnd + 4 + size)
    }
    bodies.push(body)
  }
  return bodies
}

const textIn = (body: string): string =>
  dataOf(body)
    .filter((json) => json !== '[DONE]')
    .map((json) => Object(Object(parsed(json)['choices'])[0]?.delta).content ?? '')
    .join('')

test(
  'chunks are as long as they say, also for two streams that were asked for at once on one connection',
  within(5_000, () =>
    withControl(async ({ control }) => {
      const wire = await askRaw(
        control.port,
        wireOf(control.port, 'hello', '1.1', 'keep-alive') + wireOf(control.port, 'say déjà vu 🌍', '1.1', 'close'),
      )
      assert.equal(unchunked(wire).map(textIn), [FAKE_TEXT, 'déjà vu 🌍'])
    }),
  ),
)

test(
  'a client of HTTP/1.0 gets the events without chunks',
  within(5_000, () =>
    withControl(async ({ control }) => {
      const wire = await askRaw(control.port, wireOf(control.port, 'hello', '1.0', 'close'))
      const body = wire.slice(wire.indexOf('\r\n\r\n') + 4)
      assert.not.match(wire, /transfer-encoding/i)
      assert.ok(body.startsWith('data: {') && body.endsWith('data: [DONE]\n\n'))
      assert.is(textIn(body), FAKE_TEXT)
    }),
  ),
)

test(
  'events of a job come from its beginning to every watcher',
  within(5_000, () =>
    withControl(async (context: TestControl) => {
      const { body } = await askJson(`${context.url}/api/v1/p2p/intents`, { model: 'cfab-tiny', prompt: 'hello' })
      const url = `${context.url}${Object(JSON.parse(body)).events_url}`
      const [one, two] = await Promise.all([ask(url), ask(url)])
      assert.is(one.body, two.body)
      assert.is(one.headers['content-type'], 'text/event-stream; charset=utf-8')
      const names = [...one.body.matchAll(/^event: (\w+)$/gm)].map((match) => match[1])
      assert.equal([names[0], names.at(-1), names.filter((name) => name === 'outcome').length], ['phase', 'outcome', 1])
    }),
  ),
)

test.run()
