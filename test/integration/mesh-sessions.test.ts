/** How sessions between two peers come, stay, break and come back. */
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { aborted, BYTES, pause, readAll, SOON } from '../contract/transport-pair.ts'
import { codeOf } from '../support/error-code.ts'
import { type Book, emptyBook, LOOPBACK, type MeshPeer, meshPeer } from '../support/mesh.ts'
import { until } from '../support/until.ts'
import { within } from '../support/within.ts'

async function echoing(seed: number, book: Book, options: Parameters<typeof meshPeer>[2] = {}): Promise<MeshPeer> {
  const peer = await meshPeer(seed, book, options)
  peer.onMessage('echo', async (_from, body) => body)
  return peer
}

test(
  'many calls at once, both ways, share one session each way',
  within(5_000, async () => {
    const book = emptyBook()
    const [a, b] = [await echoing(1, book), await echoing(2, book)]
    const bodies = Array.from({ length: 50 }, (_, size) => new Uint8Array(size * 100).fill(size))
    const answers = await Promise.all([
      ...bodies.map((body) => a.request(b.self, 'echo', body, SOON)),
      ...bodies.map((body) => b.request(a.self, 'echo', body, SOON)),
    ])
    assert.equal(answers, [...bodies, ...bodies])
    const directions = a.links().map(({ direction }) => direction)
    assert.equal([...directions].sort(), ['accepted', 'dialled'])
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'empty bodies, empty frames and streams without a frame arrive as what they are',
  within(5_000, async () => {
    const book = emptyBook()
    const [a, b] = [await echoing(1, book), await echoing(2, book)]
    b.onStream('none', async () => {})
    b.onStream('empty', async (_from, _body, stream) => stream.send(new Uint8Array()))
    for (let round = 0; round < 50; round += 1) {
      assert.equal(await a.request(b.self, 'echo', new Uint8Array(), SOON), new Uint8Array())
      assert.equal(await readAll(await a.openStream(b.self, 'none', new Uint8Array(), SOON)), [])
      assert.equal(await readAll(await a.openStream(b.self, 'empty', BYTES, SOON)), [new Uint8Array()])
    }
    await until(() => b.load().handlers === 0 && b.load().bytes === 0 && a.load().bytes === 0)
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'frames of the largest size go both ways at once, one window after the other',
  within(10_000, async () => {
    const book = emptyBook()
    const [a, b] = [await echoing(1, book), await echoing(2, book)]
    const frame = new Uint8Array(1_114_112).fill(9)
    b.onStream('mirror', async (_from, _body, stream) => {
      for await (const each of stream) await stream.send(each)
    })
    const stream = await a.openStream(b.self, 'mirror', frame, { deadlineMs: 9_000 })
    const reading = readAll(stream)
    for (let count = 0; count < 20; count += 1) await stream.send(frame)
    stream.end()
    const frames = await reading
    assert.is(frames.length, 20)
    assert.ok(frames.every((each) => each.length === frame.length && each[7] === 9))
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a peer that was restarted is asked again within seconds, and calls itself at once',
  within(8_000, async () => {
    const book = emptyBook()
    const a = await echoing(1, book)
    let b = await echoing(2, book)
    assert.equal(await a.request(b.self, 'echo', BYTES, SOON), BYTES)
    const { listening } = b
    assert.ok(listening)
    await b.close()
    assert.is(await codeOf(a.request(b.self, 'echo', BYTES, SOON)), 'CF_MESH_PEER_UNREACHABLE')
    b = await echoing(2, book, { listen: listening })
    assert.equal(await b.request(a.self, 'echo', BYTES, SOON), BYTES)
    // It was heard: nothing is left of the wait after the failures.
    assert.equal(await a.request(b.self, 'echo', BYTES, SOON), BYTES)
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'an address that swallows everything does not keep a peer from being reached at the next one',
  within(5_000, async () => {
    const book = emptyBook()
    const [a, b] = [await echoing(1, book), await echoing(2, book)]
    const way = await silentWay(b.listening?.port ?? 0)
    way.hush()
    const address = way.server.address()
    assert.ok(address !== null && typeof address !== 'string')
    const real = book.addresses.get(b.self) ?? []
    book.addresses.set(b.self, [{ kind: 'direct', host: LOOPBACK, port: address.port }, ...real])
    const begun = performance.now()
    assert.equal(await a.request(b.self, 'echo', BYTES, { deadlineMs: 3_000 }), BYTES)
    assert.ok(performance.now() - begun < 2_500)
    way.server.close()
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'nobody listens: calls fail at once, and between tries without one',
  within(5_000, async () => {
    const book = emptyBook()
    const a = await echoing(1, book)
    const gone = await echoing(2, book)
    await gone.close()
    for (let round = 0; round < 20; round += 1)
      assert.is(await codeOf(a.request(gone.self, 'echo', BYTES, SOON)), 'CF_MESH_PEER_UNREACHABLE')
    await a.close()
  }),
)

/** A way to a peer that can be made silent: what is sent then neither arrives nor fails. */
async function silentWay(port: number): Promise<{ readonly server: Server; hush(): void; speak(): void }> {
  const pairs: (readonly [Socket, Socket])[] = []
  let silent = false
  const server = createServer((here) => {
    const there = connectTcp({ host: LOOPBACK, port })
    pairs.push([here, there])
    for (const socket of [here, there]) socket.on('error', () => {})
    here.once('close', () => there.destroy())
    there.once('close', () => here.destroy())
    if (!silent) here.pipe(there).pipe(here)
  })
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve))
  return {
    server,
    hush() {
      silent = true
      for (const [here, there] of pairs) {
        here.unpipe()
        there.unpipe()
      }
    },
    speak() {
      silent = false
    },
  }
}

test(
  'a session that fell silent is found out and dropped; the next call dials',
  within(10_000, async () => {
    const book = emptyBook()
    const b = await echoing(2, book)
    assert.ok(b.listening)
    const way = await silentWay(b.listening.port)
    const address = way.server.address()
    assert.ok(address !== null && typeof address !== 'string')
    book.addresses.set(b.self, [{ kind: 'direct', host: LOOPBACK, port: address.port }])
    const limits = { pingMs: 100, pingDeadlineMs: 200, dialMs: 500, backoffMsMax: 100 }
    const a = await echoing(1, book, { limits })
    assert.equal(await a.request(b.self, 'echo', BYTES, SOON), BYTES)
    way.hush()
    assert.is(await codeOf(a.request(b.self, 'echo', BYTES, { deadlineMs: 150 })), 'CF_MESH_DEADLINE')
    await until(() => a.links().length === 0)
    way.speak()
    await until(async () => (await codeOf(a.request(b.self, 'echo', BYTES, SOON))) === 'resolved')
    way.server.close()
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a session without calls closes, and only then',
  within(6_000, async () => {
    const book = emptyBook()
    const limits = { idleMs: 150, pingMs: 100 }
    const [a, b] = [await echoing(1, book, { limits }), await echoing(2, book)]
    b.onStream('hang', async (_from, _body, _stream, signal) => aborted(signal))
    const stream = await a.openStream(b.self, 'hang', BYTES, { deadlineMs: 5_000 })
    await pause(500)
    assert.is(a.links().length, 1)
    stream.destroy()
    await until(() => a.links().length === 0)
    assert.equal(await a.request(b.self, 'echo', BYTES, SOON), BYTES)
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a handler’s deadline is its caller’s, also when the caller is lost without a word',
  within(5_000, async () => {
    const book = emptyBook()
    const [a, b] = [await echoing(1, book), await echoing(2, book)]
    const told = Promise.withResolvers<number>()
    const begun = performance.now()
    b.onMessage('hang', async (_from, body, signal) => {
      await aborted(signal)
      told.resolve(performance.now() - begun)
      return body
    })
    assert.is(await codeOf(a.request(b.self, 'hang', BYTES, { deadlineMs: 300 })), 'CF_MESH_DEADLINE')
    assert.ok((await told.promise) < 2_000)
    await until(() => b.load().handlers === 0)
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a port that is taken is said so',
  within(3_000, async () => {
    const book = emptyBook()
    const a = await echoing(1, book)
    assert.is(await codeOf(meshPeer(2, book, { listen: a.listening ?? null })), 'CF_CONTROL_PORT_BUSY')
    await a.close()
  }),
)

test.run()
