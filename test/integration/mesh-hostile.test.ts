/** What peers must not be able to do to a node over the wire: it refuses with a reason, goes on serving, and keeps its memory. */
import { X509Certificate } from 'node:crypto'
import type { ClientHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { certificateOf, credentialsOf, peerOfCertificate } from '../../node/mesh/tls/certificate.ts'
import { aborted, BYTES, pause, SOON } from '../contract/transport-pair.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { emptyBook, keyOfSeed, type MeshPeer, meshPeer } from '../support/mesh.ts'
import { answerOf, rawRequest, rawSession, rawTcp, rawTls } from '../support/mesh-raw.ts'
import { until } from '../support/until.ts'
import { within } from '../support/within.ts'

const MIB = 1_048_576

function portOf(peer: MeshPeer): number {
  assert.ok(peer.listening)
  return peer.listening.port
}

function rssMiB(): number {
  return process.memoryUsage().rss / MIB
}

test(
  'a peer that answers at the address of another is refused: a PeerId is a key, not a place',
  within(3_000, async () => {
    const book = emptyBook()
    const [a, impostor] = [await meshPeer(1, book), await meshPeer(2, book)]
    const victim = keyOfSeed(3).peer
    book.addresses.set(victim, book.addresses.get(impostor.self) ?? [])
    impostor.onMessage('echo', async (_from, body) => body)
    const failure = await failureOf(a.request(victim, 'echo', BYTES, SOON))
    assert.equal([failure.code, failure.detail], ['CF_MESH_REFUSED', { reason: 'not_the_peer_asked' }])
    await Promise.all([a.close(), impostor.close()])
  }),
)

test(
  'no certificate, another protocol and an older TLS are shown the door',
  within(5_000, async () => {
    const book = emptyBook()
    const a = await meshPeer(1, book)
    for (const options of [{}, { ...credentialsOf(keyOfSeed(2)), ALPNProtocols: ['h2'] }]) {
      const socket = await rawTls(portOf(a), options)
      if (socket !== undefined) await new Promise((resolve) => socket.once('close', resolve))
    }
    await rawTls(portOf(a), { ...credentialsOf(keyOfSeed(2)), maxVersion: 'TLSv1.2' })
    await until(() => a.rejects.length >= 3)
    assert.equal([...new Set(a.rejects)], ['handshake_failed'])
    assert.equal(a.links(), [])
    await a.close()
  }),
)

test('a certificate of a small-order key, or of one that is no point, is of no peer', () => {
  const identity = new Uint8Array(32)
  identity[0] = 1
  const key = keyOfSeed(4)
  const reasons = [identity, new Uint8Array(32), new Uint8Array(32).fill(0xff)].map((publicKey) => {
    const found = peerOfCertificate(new X509Certificate(certificateOf({ ...key, publicKey })))
    return found.action === 'reject' ? found.reason : found.action
  })
  assert.equal(reasons, ['key_small_order', 'key_small_order', 'key_not_canonical'])
  const own = peerOfCertificate(new X509Certificate(certificateOf(key)))
  assert.equal(own, { action: 'accept', value: key.peer })
})

test(
  'a private swarm opens to its key only: none, an empty and a wrong one fail closed, both ways',
  within(8_000, async () => {
    const book = emptyBook()
    const swarmKey = new Uint8Array(32).fill(7)
    assert.is(await codeOf(meshPeer(9, book, { swarmKey: new Uint8Array() })), 'CF_CONFIG_INVALID')
    const keys = [swarmKey, swarmKey, new Uint8Array(32).fill(8), null]
    const peers = await Promise.all(keys.map((own, seed) => meshPeer(seed + 1, book, { swarmKey: own })))
    const [inside, friend, wrong, none] = peers
    assert.ok(inside && friend && wrong && none)
    for (const peer of peers) peer.onMessage('echo', async (_from, body) => body)
    assert.equal(await friend.request(inside.self, 'echo', BYTES, SOON), BYTES)
    for (const outside of [wrong, none]) {
      const failure = await failureOf(outside.request(inside.self, 'echo', BYTES, SOON))
      assert.equal([failure.code, failure.detail], ['CF_MESH_REFUSED', { reason: 'swarm_key' }])
      const back = await failureOf(inside.request(outside.self, 'echo', BYTES, SOON))
      assert.equal([back.code, back.detail], ['CF_MESH_REFUSED', { reason: 'swarm_key' }])
    }
    assert.ok(inside.rejects.every((reason) => reason === 'swarm_key'))
    await Promise.all(peers.map((peer) => peer.close()))
  }),
)

test(
  'a stranger may call what is open to it and nothing else, and no more often than it may',
  within(5_000, async () => {
    const book = emptyBook()
    const limits = { strangerCallsPerSecond: 1, strangerCallsBurst: 5 }
    const a = await meshPeer(1, book, { openTypes: ['swarm/join'], limits })
    const stranger = await meshPeer(2, book)
    book.strangers.add(stranger.self)
    for (const type of ['swarm/join', 'log/append']) a.onMessage(type, async (_from, body) => body)
    assert.equal(await stranger.request(a.self, 'swarm/join', BYTES, SOON), BYTES)
    const refusal = await failureOf(stranger.request(a.self, 'log/append', BYTES, SOON))
    assert.equal(refusal.detail, { reason: 'stranger' })
    assert.equal((await failureOf(stranger.openStream(a.self, 'log/tail', BYTES, SOON))).detail, { reason: 'stranger' })
    const asked = Array.from({ length: 8 }, () => failureOf(stranger.request(a.self, 'swarm/join', BYTES, SOON)))
    const reasons = (await Promise.all(asked)).map(({ detail }) => detail['reason'])
    assert.is(reasons.filter((reason) => reason === 'rate').length, 4)
    await Promise.all([a.close(), stranger.close()])
  }),
)

/** Until what was written is on its way, or never will be. */
async function sent(stream: ClientHttp2Stream, piece: Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.once('close', resolve)
    stream.write(piece, () => resolve())
  })
}

test(
  'a body of 100 MB is refused with a reason as soon as it is announced or too long, and none of it is kept',
  within(10_000, async () => {
    const book = emptyBook()
    const a = await meshPeer(1, book)
    let handled = 0
    a.onMessage('echo', async (_from, body) => {
      handled += 1
      return body
    })
    a.onStream('sink', async () => {
      handled += 1
    })
    const session = await rawSession(portOf(a), 2)
    const announced = rawRequest(session, '/mesh/v1/call/echo', { 'content-length': 100 * MIB })
    assert.is((await answerOf(announced)).headers['cfab-reason'], 'body_too_large')
    const silent = rawRequest(session, '/mesh/v1/call/echo')
    assert.is((await answerOf(silent)).headers['cfab-reason'], 'protocol')
    const before = rssMiB()
    const piece = Buffer.alloc(MIB)
    for (const path of ['/mesh/v1/call/echo', '/mesh/v1/stream/sink', '/mesh/v1/stream/none', '/mesh/v1/nothing']) {
      const stream = rawRequest(session, path, path.includes('call') ? { 'content-length': MIB } : {})
      stream.resume()
      for (let count = 0; count < 100 && !stream.destroyed; count += 1) await sent(stream, piece)
    }
    assert.is(handled, 0)
    assert.ok(rssMiB() - before < 64, 'memory stays')
    session.destroy()
    await until(() => a.load().bytes === 0 && a.load().handlers === 0)
    await a.close()
  }),
)

test(
  '1,000 half-open connections: those who have a session do not notice, and a new peer comes in',
  within(15_000, async () => {
    const book = emptyBook()
    const a = await meshPeer(1, book, { limits: { handshakeMs: 1_000 } })
    const [friend, late] = [await meshPeer(2, book), await meshPeer(3, book)]
    a.onMessage('echo', async (_from, body) => body)
    await friend.request(a.self, 'echo', BYTES, SOON)
    const before = rssMiB()
    const halfOpen: Socket[] = []
    for (let count = 0; count < 1_000; count += 50) {
      halfOpen.push(...(await Promise.all(Array.from({ length: 50 }, () => rawTcp(portOf(a))))))
      assert.equal(await friend.request(a.self, 'echo', BYTES, SOON), BYTES)
    }
    assert.ok(a.load().handshakes <= 65, `${a.load().handshakes} handshakes are open`)
    await until(async () => (await codeOf(late.request(a.self, 'echo', BYTES, SOON))) === 'resolved')
    assert.ok(rssMiB() - before < 64, 'memory stays')
    assert.equal([...new Set(a.rejects)].sort(), ['handshake_too_slow', 'rate'])
    for (const socket of halfOpen) socket.destroy()
    await until(() => a.load().handshakes === 0)
    await Promise.all([a, friend, late].map((peer) => peer.close()))
  }),
)

test(
  'a peer that reads none of its answers fills its own share and nobody else’s',
  within(10_000, async () => {
    const book = emptyBook()
    const limits = { peerBytesMax: 4 * MIB }
    const [a, friend] = [await meshPeer(1, book, { limits }), await meshPeer(3, book)]
    a.onMessage('large', async () => new Uint8Array(MIB))
    a.onStream('endless', async (_from, _body, stream) => {
      for (;;) await stream.send(new Uint8Array(60_000))
    })
    const session = await rawSession(portOf(a), 2)
    const answers = Array.from({ length: 100 }, () => {
      const stream = rawRequest(session, '/mesh/v1/call/large', { 'content-length': 0 })
      stream.pause()
      stream.end()
      return answerOf(stream)
    })
    const reasons = (await Promise.all(answers)).map(({ headers }) => headers['cfab-reason'])
    assert.ok(reasons.includes('too_many_bytes'), 'the rest is refused')
    assert.ok(a.load().bytes <= 4 * MIB, `${a.load().bytes} bytes are held`)
    assert.is((await friend.request(a.self, 'large', BYTES, SOON)).length, MIB)
    session.destroy()
    await until(() => a.load().bytes === 0 && a.load().handlers === 0)
    await Promise.all([a.close(), friend.close()])
  }),
)

test(
  'a peer runs so many handlers and no more; others still run theirs',
  within(5_000, async () => {
    const book = emptyBook()
    const a = await meshPeer(1, book, { limits: { handlersPerPeerMax: 16 } })
    const [greedy, friend] = [await meshPeer(2, book), await meshPeer(3, book)]
    a.onMessage('hang', async (_from, body, signal) => aborted(signal).then(() => body))
    a.onMessage('echo', async (_from, body) => body)
    const stop = new AbortController()
    const options = { deadlineMs: 4_000, signal: stop.signal }
    const asked = Array.from({ length: 20 }, () => failureOf(greedy.request(a.self, 'hang', BYTES, options)))
    await until(() => a.rejects.length === 4)
    assert.equal(await friend.request(a.self, 'echo', BYTES, SOON), BYTES)
    stop.abort(new Error('enough'))
    const reasons = (await Promise.all(asked)).map(({ detail }) => detail['reason'])
    assert.is(reasons.filter((reason) => reason === 'too_many_calls').length, 4)
    await until(() => a.load().handlers === 0)
    await Promise.all([a, greedy, friend].map((peer) => peer.close()))
  }),
)

test(
  'a flood is penalised: its peer is not heard for a while, and then again',
  within(8_000, async () => {
    const book = emptyBook()
    const limits = { callsPerSecond: 10, callsBurst: 20, graylistPoints: 30, graylistMs: 600, backoffMsMax: 50 }
    const a = await meshPeer(1, book, { limits })
    const [flooder, friend] = [await meshPeer(2, book, { limits }), await meshPeer(3, book)]
    a.onMessage('echo', async (_from, body) => body)
    for (let round = 0; round < 8; round += 1)
      await Promise.all(Array.from({ length: 20 }, () => codeOf(flooder.request(a.self, 'echo', BYTES, SOON))))
    const failure = await failureOf(flooder.request(a.self, 'echo', BYTES, SOON))
    assert.not.equal(failure.code, 'resolved')
    await pause(60)
    const again = await failureOf(flooder.request(a.self, 'echo', BYTES, SOON))
    assert.equal(again.detail, { reason: 'graylisted' })
    assert.equal(await friend.request(a.self, 'echo', BYTES, SOON), BYTES)
    await until(async () => (await codeOf(flooder.request(a.self, 'echo', BYTES, SOON))) === 'resolved')
    await Promise.all([a, flooder, friend].map((peer) => peer.close()))
  }),
)

test(
  'a sender that ignores the window is cut off',
  within(5_000, async () => {
    const book = emptyBook()
    const a = await meshPeer(1, book)
    a.onStream('deaf', async (_from, _body, _stream, signal) => aborted(signal))
    const session = await rawSession(portOf(a), 2)
    const stream = rawRequest(session, '/mesh/v1/stream/deaf')
    stream.write(Buffer.from('00000020000800000000000100', 'hex'))
    await answerOf(stream)
    const frame = Buffer.alloc(4 + 1_000)
    frame.writeUInt32BE(1_000)
    const cut = new Promise((resolve) => stream.once('close', resolve))
    for (let count = 0; count < 200; count += 1) stream.write(frame)
    stream.resume()
    await cut
    assert.equal(a.rejects, ['window_exceeded'])
    session.destroy()
    await a.close()
  }),
)

test(
  'streams that are opened and reset without end cost their session, and nobody else anything',
  within(8_000, async () => {
    const book = emptyBook()
    const [a, friend] = [await meshPeer(1, book), await meshPeer(3, book)]
    a.onMessage('echo', async (_from, body) => body)
    const session = await rawSession(portOf(a), 2)
    for (let count = 0; count < 5_000 && !session.destroyed; count += 1) {
      rawRequest(session, '/mesh/v1/call/echo', { 'content-length': 9 }).close(8)
      if (count % 100 === 0) assert.equal(await friend.request(a.self, 'echo', BYTES, SOON), BYTES)
    }
    await until(() => session.destroyed)
    await until(() => a.load().handlers === 0 && a.load().bytes === 0)
    await Promise.all([a.close(), friend.close()])
  }),
)

test(
  'a request that never ends its body loses its place in a while',
  within(5_000, async () => {
    const a = await meshPeer(1, emptyBook(), { limits: { bodyMs: 200, pingMs: 100 } })
    a.onMessage('echo', async (_from, body) => body)
    const session = await rawSession(portOf(a), 2)
    const stream = rawRequest(session, '/mesh/v1/call/echo', { 'content-length': 1_000 })
    stream.write(new Uint8Array(10))
    await until(() => a.load().handlers === 1)
    await until(() => a.load().handlers === 0 && a.load().bytes === 0)
    session.destroy()
    await a.close()
  }),
)

test(
  'whoever has said nothing but a handshake is sent away, and keeps no session',
  within(5_000, async () => {
    const a = await meshPeer(1, emptyBook(), { limits: { handshakeMs: 300 } })
    const sockets = await Promise.all([2, 3, 4].map((seed) => rawTls(portOf(a), credentialsOf(keyOfSeed(seed)))))
    assert.ok(sockets.every((socket) => socket !== undefined))
    assert.is(a.load().handshakes, 3)
    await until(() => a.load().handshakes === 0)
    assert.equal(a.links(), [])
    await a.close()
  }),
)

test.run()
