import type { ClientHttp2Session } from 'node:http2'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MESH_LIMITS } from '../../node/mesh/tls/options.ts'
import { BYTES, SOON } from '../contract/transport-pair.ts'
import { emptyBook, meshPeer } from '../support/mesh.ts'
import { answerOf, rawRequest, rawSession } from '../support/mesh-raw.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { within } from '../support/within.ts'
import { broken, goodStream, parse } from './frames.ts'

const seed = testSeed()
const MIB = 1_048_576
const FRAME_BYTES_MAX = 1_000

test('100,000 broken streams at the parser: frames within the bound, or a fault with a reason', () => {
  const random = seededRandom(seed)
  let [faults, frames] = [0, 0]
  for (let count = 0; count < 100_000; count += 1) {
    const run = parse(broken(goodStream(random), random), random, FRAME_BYTES_MAX)
    assert.ok(run.bytesMax <= FRAME_BYTES_MAX)
    faults += run.faults
    frames += run.frames
  }
  assert.ok(faults > 1_000 && frames > 1_000, `${faults} faults, ${frames} frames`)
})

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

/** What is still referenced: the process itself keeps freed pages for a while. */
function keptMiB(): number {
  if (typeof collect === 'function') collect()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / MIB
}

/** Sends one broken stream or request and lets go of it in one of several ways. */
async function shoot(session: ClientHttp2Session, random: ReturnType<typeof seededRandom>): Promise<void> {
  const bytes = broken(goodStream(random), random)
  const isStream = random.below(3) > 0
  const length = random.below(4) === 0 ? {} : { 'content-length': bytes.length }
  const stream = rawRequest(session, `/mesh/v1/${isStream ? 'stream' : 'call'}/target`, isStream ? {} : length)
  stream.resume()
  const answer = answerOf(stream)
  stream.write(bytes)
  if (random.below(4) === 0) stream.close(random.below(14))
  else stream.end()
  await answer
  if (random.below(8) === 0) stream.close()
}

test(
  '10,000 broken streams and requests over TLS: the peer serves others all the while, and its memory stays',
  within(60_000, async () => {
    const random = seededRandom(seed)
    const book = emptyBook()
    // Penalties would end the attack after a few shots; here all of them are to arrive.
    const penalties = { ...MESH_LIMITS.penalties, malformed: 0, flood: 0 }
    const limits = { penalties, callsPerSecond: 1_000_000, callsBurst: 1_000_000 }
    const [a, friend] = [await meshPeer(1, book, { limits }), await meshPeer(3, book)]
    a.onMessage('target', async (_from, body) => body)
    a.onStream('target', async (_from, _body, stream) => {
      for await (const frame of stream) await stream.send(frame)
    })
    a.onMessage('echo', async (_from, body) => body)
    const port = a.listening?.port ?? 0
    let [session, before] = [await rawSession(port, 2), 0]
    for (let round = 0; round < 200; round += 1) {
      if (session.closed || session.destroyed) session = await rawSession(port, 2)
      await Promise.all(Array.from({ length: 50 }, () => shoot(session, random)))
      assert.equal(await friend.request(a.self, 'echo', BYTES, SOON), BYTES)
      if (round === 20) before = keptMiB()
    }
    const grownMiB = keptMiB() - before
    assert.ok(grownMiB < 16, `memory grew by ${grownMiB} MiB`)
    assert.ok(a.rejects.length > 1_000)
    assert.equal(a.bugs, [])
    session.destroy()
    await until(() => a.load().handlers === 0 && a.load().bytes === 0)
    await Promise.all([a.close(), friend.close()])
  }),
)

test.run()
