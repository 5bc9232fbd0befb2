/** The part of the transport contract that is about streams. */
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'
import { aborted, BYTES, type Create, closeBoth, collect, pause, readAll, SOON, type Test } from './transport-pair.ts'

export function streamTests(test: Test, create: Create): void {
  test(
    'frames arrive in order both ways and each side ends on its own',
    within(5_000, async () => {
      const { a, b } = await create()
      b.onStream('double', async (_from, body, stream) => {
        for await (const frame of stream) await stream.send(Uint8Array.of(...body, (frame[0] ?? 0) * 2))
      })
      const stream = await a.openStream(b.self, 'double', Uint8Array.of(7), { deadlineMs: 4_000 })
      const reading = readAll(stream)
      for (let value = 0; value < 100; value += 1) await stream.send(Uint8Array.of(value))
      // What is still on its way back is read, and made room for, after this side has ended.
      stream.end()
      const frames = await reading
      assert.equal(
        frames.map(([tag, value]) => [tag, value]),
        Array.from({ length: 100 }, (_, value) => [7, value * 2]),
      )
      await closeBoth(a, b)
    }),
  )

  test(
    'the stream ends when its handler returns; frames sent to nobody are dropped, not stuck',
    within(3_000, async () => {
      const { a, b, frameCountMax } = await create()
      b.onStream('brief', async (_from, _body, stream) => stream.send(BYTES))
      const stream = await a.openStream(b.self, 'brief', BYTES, SOON)
      assert.equal(await readAll(stream), [BYTES])
      for (let count = 0; count < frameCountMax * 3; count += 1) await stream.send(BYTES)
      await closeBoth(a, b)
    }),
  )

  test(
    'frames that were sent before the handler threw are read before its refusal',
    within(3_000, async () => {
      const { a, b } = await create()
      b.onStream('half', async (_from, _body, stream) => {
        await stream.send(BYTES)
        throw new FabricError('CF_WORKER_HOST_LOST')
      })
      const stream = await a.openStream(b.self, 'half', BYTES, SOON)
      const frames: Uint8Array[] = []
      const failure = await failureOf(collect(stream, frames))
      assert.equal(frames, [BYTES])
      assert.equal([failure.code, failure.detail], ['CF_MESH_REFUSED', { code: 'CF_WORKER_HOST_LOST' }])
      await closeBoth(a, b)
    }),
  )

  test(
    'a frame that was sent does not change with its buffer',
    within(3_000, async () => {
      const { a, b } = await create()
      b.onStream('reuse', async (_from, _body, stream) => {
        const buffer = new Uint8Array(1)
        for (buffer[0] = 0; (buffer[0] ?? 0) < 5; buffer[0] = (buffer[0] ?? 0) + 1) await stream.send(buffer)
      })
      const frames = await readAll(await a.openStream(b.self, 'reuse', BYTES, SOON))
      assert.equal(
        frames.map(([value]) => value),
        [0, 1, 2, 3, 4],
      )
      await closeBoth(a, b)
    }),
  )
}

export function boundTests(test: Test, create: Create): void {
  test(
    'a writer waits while the reader does not read: the frames in between are bounded',
    within(5_000, async () => {
      const { a, b, frameCountMax } = await create()
      let sentCount = 0
      b.onStream('flood', async (_from, _body, stream) => {
        for (; sentCount < frameCountMax * 8; sentCount += 1) await stream.send(Uint8Array.of(sentCount & 0xff))
      })
      const stream = await a.openStream(b.self, 'flood', BYTES, { deadlineMs: 4_000 })
      await pause(60)
      assert.ok(sentCount <= frameCountMax, `${sentCount} frames were taken with a bound of ${frameCountMax}`)
      const frames = await readAll(stream)
      assert.equal(
        frames.map(([value]) => value),
        Array.from({ length: frameCountMax * 8 }, (_, value) => value & 0xff),
      )
      await closeBoth(a, b)
    }),
  )

  test(
    'a sender that never waits is refused, not buffered without end',
    within(3_000, async () => {
      const { a, b, frameCountMax } = await create()
      b.onStream('deaf', async (_from, _body, _stream, signal) => aborted(signal))
      const stream = await a.openStream(b.self, 'deaf', BYTES, { deadlineMs: 200 })
      const sends = Array.from({ length: frameCountMax * 4 }, () => codeOf(stream.send(BYTES)))
      const codes = await Promise.all(sends)
      assert.ok(codes.filter((code) => code === 'CF_MESH_REFUSED').length >= frameCountMax)
      await closeBoth(a, b)
    }),
  )

  test(
    'a frame or body over the bound is refused before it is sent',
    within(3_000, async () => {
      const { a, b, frameBytesMax } = await create()
      b.onMessage('big', async () => new Uint8Array(frameBytesMax + 1))
      b.onStream('big', async (_from, _body, _stream, signal) => aborted(signal))
      const big = new Uint8Array(frameBytesMax + 1)
      assert.is(await codeOf(a.request(b.self, 'big', big, SOON)), 'CF_MESH_REFUSED')
      assert.is(await codeOf(a.request(b.self, 'big', BYTES, SOON)), 'CF_MESH_REFUSED')
      assert.is(await codeOf(a.openStream(b.self, 'big', big, SOON)), 'CF_MESH_REFUSED')
      const stream = await a.openStream(b.self, 'big', BYTES, SOON)
      assert.is(await codeOf(stream.send(big)), 'CF_MESH_REFUSED')
      stream.destroy()
      await closeBoth(a, b)
    }),
  )
}

export function breakTests(test: Test, create: Create): void {
  test(
    "destroy by the caller breaks the handler's side and aborts its signal",
    within(3_000, async () => {
      const { a, b } = await create()
      const handler = Promise.withResolvers<readonly [string, boolean]>()
      b.onStream('long', async (_from, _body, stream, signal) => {
        const code = await codeOf(readAll(stream))
        handler.resolve([code, signal.aborted])
      })
      const stream = await a.openStream(b.self, 'long', BYTES, SOON)
      const reading = codeOf(readAll(stream))
      stream.destroy()
      stream.destroy()
      assert.is(await reading, 'CF_MESH_STREAM_BROKEN')
      assert.equal(await handler.promise, ['CF_MESH_STREAM_BROKEN', true])
      assert.is(await codeOf(stream.send(BYTES)), 'CF_MESH_STREAM_BROKEN')
      await closeBoth(a, b)
    }),
  )

  test(
    "destroy by the handler breaks the caller's side",
    within(3_000, async () => {
      const { a, b } = await create()
      b.onStream('long', async (_from, _body, stream) => stream.destroy())
      const code = await codeOf(a.openStream(b.self, 'long', BYTES, SOON).then(readAll))
      assert.is(code, 'CF_MESH_STREAM_BROKEN')
      await closeBoth(a, b)
    }),
  )

  test(
    'a writer that waits for room is woken when the stream breaks',
    within(3_000, async () => {
      const { a, b } = await create()
      b.onStream('deaf', async (_from, _body, _stream, signal) => aborted(signal))
      const stop = new AbortController()
      const stream = await a.openStream(b.self, 'deaf', BYTES, { ...SOON, signal: stop.signal })
      const flooding = (async () => {
        for (;;) await stream.send(BYTES)
      })().catch((error: unknown) => error)
      await pause(20)
      const reason = new Error('enough')
      stop.abort(reason)
      assert.is(await flooding, reason)
      await closeBoth(a, b)
    }),
  )
}
