import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MESH_LIMITS } from '../../node/mesh/tls/options.ts'
import { BYTES, SOON } from '../contract/transport-pair.ts'
import { emptyBook, meshPeer } from '../support/mesh.ts'
import { rawSession } from '../support/mesh-raw.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { within } from '../support/within.ts'
import { fuzzFrames, shoot } from './frames.ts'

const seed = testSeed()
const MIB = 1_048_576

test('100,000 broken streams at the parser: frames within the bound, or a fault with a reason', () => {
  const { faults, frames, refused } = fuzzFrames(100_000, seededRandom(seed))
  assert.equal(faults, [])
  assert.ok(refused > 1_000 && frames > 1_000, `${refused} refused, ${frames} frames`)
})

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

/** What is still referenced: the process itself keeps freed pages for a while. */
function keptMiB(): number {
  if (typeof collect === 'function') collect()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / MIB
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
      await Promise.all(Array.from({ length: 50 }, () => shoot(session, 'target', random)))
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
