/** What every PeerTransport must do: deadlines, coded refusals, bounded streams, bytes that nobody shares. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'
import { aborted, BYTES, type Create, closeBoth, pause, readAll, SOON, type Test } from './transport-pair.ts'
import { boundTests, breakTests, streamTests } from './transport-streams.suite.ts'

export function transportSuite(name: string, create: Create): Test {
  const test = suite(`transport: ${name}`)
  requestTests(test, create)
  refusalTests(test, create)
  cancelTests(test, create)
  streamTests(test, create)
  boundTests(test, create)
  breakTests(test, create)
  closeTests(test, create)
  return test
}

function requestTests(test: Test, create: Create): void {
  test(
    "a request reaches the handler of its type with the sender's id, and the answer comes back",
    within(3_000, async () => {
      const { a, b } = await create()
      b.onMessage('echo', async (from, body) => {
        assert.is(from, a.self)
        return Uint8Array.of(...body, 9)
      })
      assert.equal(await a.request(b.self, 'echo', BYTES, SOON), Uint8Array.of(1, 2, 3, 9))
      await closeBoth(a, b)
    }),
  )

  test(
    'a peer can ask itself',
    within(3_000, async () => {
      const { a, b } = await create()
      a.onMessage('echo', async (_from, body) => body)
      assert.equal(await a.request(a.self, 'echo', BYTES, SOON), BYTES)
      await closeBoth(a, b)
    }),
  )

  test(
    'changing a buffer after it was sent changes nothing on the other side',
    within(3_000, async () => {
      const { a, b } = await create()
      const [sent, answer] = [Uint8Array.of(1), Uint8Array.of(2)]
      let seen: Uint8Array | undefined
      b.onMessage('keep', async (_from, body) => {
        seen = body
        return answer
      })
      const asking = a.request(b.self, 'keep', sent, SOON)
      sent[0] = 99
      const got = await asking
      answer[0] = 99
      assert.equal(seen, Uint8Array.of(1))
      assert.equal(got, Uint8Array.of(2))
      got[0] = 7
      assert.equal(answer, Uint8Array.of(99))
      await closeBoth(a, b)
    }),
  )

  test(
    'a type has one handler; a second one is a bug',
    within(3_000, async () => {
      const { a, b } = await create()
      a.onMessage('x', async () => BYTES)
      a.onStream('x', async () => {})
      assert.throws(() => a.onMessage('x', async () => BYTES), /invariant/)
      assert.throws(() => a.onStream('x', async () => {}), /invariant/)
      await closeBoth(a, b)
    }),
  )
}

function refusalTests(test: Test, create: Create): void {
  test(
    'a handler that throws refuses with its code and nothing else of its error',
    within(3_000, async () => {
      const { a, b } = await create()
      const refuse = async (): Promise<never> => {
        throw new FabricError('CF_LEDGER_INSUFFICIENT_CREDIT', { secret: 'the prompt' }, new Error('more text'))
      }
      b.onMessage('pay', refuse)
      b.onStream('pay', refuse)
      const request = await failureOf(a.request(b.self, 'pay', BYTES, SOON))
      assert.equal([request.code, request.detail], ['CF_MESH_REFUSED', { code: 'CF_LEDGER_INSUFFICIENT_CREDIT' }])
      const stream = await failureOf(a.openStream(b.self, 'pay', BYTES, SOON).then(readAll))
      assert.equal([stream.code, stream.detail], ['CF_MESH_REFUSED', { code: 'CF_LEDGER_INSUFFICIENT_CREDIT' }])
      await closeBoth(a, b)
    }),
  )

  test(
    'a type without a handler is refused, an unknown peer is unreachable',
    within(3_000, async () => {
      const { a, b } = await create()
      assert.is(await codeOf(a.request(b.self, 'none', BYTES, SOON)), 'CF_MESH_REFUSED')
      assert.is(await codeOf(a.openStream(b.self, 'none', BYTES, SOON)), 'CF_MESH_REFUSED')
      await b.close()
      assert.is(await codeOf(a.request(b.self, 'none', BYTES, SOON)), 'CF_MESH_PEER_UNREACHABLE')
      assert.is(await codeOf(a.openStream(b.self, 'none', BYTES, SOON)), 'CF_MESH_PEER_UNREACHABLE')
      await a.close()
      assert.is(await codeOf(a.request(a.self, 'none', BYTES, SOON)), 'CF_MESH_PEER_UNREACHABLE')
    }),
  )
}

function cancelTests(test: Test, create: Create): void {
  test(
    'a handler that never answers costs the caller its deadline, and hears that it is over',
    within(3_000, async () => {
      const { a, b } = await create()
      const told = Promise.withResolvers<unknown>()
      b.onMessage('hang', async (_from, _body, signal) => {
        signal.addEventListener('abort', () => told.resolve(signal.reason))
        return new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
      assert.is(await codeOf(a.request(b.self, 'hang', BYTES, { deadlineMs: 40 })), 'CF_MESH_DEADLINE')
      assert.instance(await told.promise, FabricError)
      await closeBoth(a, b)
    }),
  )

  test(
    "the caller's signal ends the call with the caller's reason and aborts the handler's",
    within(3_000, async () => {
      const { a, b } = await create()
      const [stop, reason] = [new AbortController(), new Error('changed my mind')]
      const started = Promise.withResolvers<void>()
      const told = Promise.withResolvers<unknown>()
      b.onMessage('hang', async (_from, _body, signal) => {
        started.resolve()
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        told.resolve(signal.reason)
        return BYTES
      })
      const asking = a.request(b.self, 'hang', BYTES, { ...SOON, signal: stop.signal }).catch((error: unknown) => error)
      await started.promise
      stop.abort(reason)
      assert.is(await asking, reason)
      assert.instance(await told.promise, FabricError)
      assert.is(
        await a.request(b.self, 'hang', BYTES, { ...SOON, signal: stop.signal }).catch((error: unknown) => error),
        reason,
      )
      await closeBoth(a, b)
    }),
  )

  test(
    'a stream past its deadline throws on both sides',
    within(3_000, async () => {
      const { a, b } = await create()
      const handler = Promise.withResolvers<string>()
      b.onStream('slow', async (_from, _body, stream) => handler.resolve(await codeOf(readAll(stream))))
      const stream = await a.openStream(b.self, 'slow', BYTES, { deadlineMs: 40 })
      assert.is(await codeOf(readAll(stream)), 'CF_MESH_DEADLINE')
      assert.is(await handler.promise, 'CF_MESH_STREAM_BROKEN')
      assert.is(await codeOf(stream.send(BYTES)), 'CF_MESH_DEADLINE')
      await closeBoth(a, b)
    }),
  )
}

function closeTests(test: Test, create: Create): void {
  test(
    'closing the called side fails what is open, on both sides',
    within(3_000, async () => {
      const { a, b } = await create()
      const hang = (_from: unknown, _body: unknown, signal: AbortSignal): Promise<Uint8Array> =>
        aborted(signal).then(() => BYTES)
      b.onMessage('hang', hang)
      b.onStream('hang', async (_from, _body, _stream, signal) => aborted(signal))
      const request = codeOf(a.request(b.self, 'hang', BYTES, { deadlineMs: 60_000 }))
      const stream = await a.openStream(b.self, 'hang', BYTES, { deadlineMs: 60_000 })
      const reading = codeOf(readAll(stream))
      await b.close()
      await b.close()
      assert.is(await request, 'CF_MESH_PEER_UNREACHABLE')
      assert.is(await reading, 'CF_MESH_PEER_UNREACHABLE')
      await a.close()
    }),
  )

  test(
    'closing the calling side fails its own calls and aborts the handlers',
    within(3_000, async () => {
      const { a, b } = await create()
      const told = Promise.withResolvers<void>()
      b.onMessage('hang', async (_from, _body, signal) => {
        await aborted(signal)
        told.resolve()
        return BYTES
      })
      const request = codeOf(a.request(b.self, 'hang', BYTES, { deadlineMs: 60_000 }))
      await pause(20)
      await a.close()
      assert.is(await request, 'CF_MESH_PEER_UNREACHABLE')
      await told.promise
      await b.close()
    }),
  )
}
