import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { peerIdOf } from '../../../../core/ids.ts'
import {
  createMemoryNetwork,
  type MemoryNetworkOptions,
  type MemoryNetworkPorts,
} from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { codeOf, failureOf } from '../../../support/error-code.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { within } from '../../../support/within.ts'

const seed = testSeed()
const peer = (fill: number) => peerIdOf(new Uint8Array(32).fill(fill))
const SOON = { deadlineMs: 1_000 }

function pair(
  options: MemoryNetworkOptions,
  ports: Partial<MemoryNetworkPorts> = {},
): { a: PeerTransport; b: PeerTransport } {
  const network = createMemoryNetwork(options, { clock: systemClock, random: seededRandom(seed), ...ports })
  return { a: network.endpoint(peer(1)), b: network.endpoint(peer(2)) }
}

/** Sends 40 numbered requests at once. @returns the numbers in order of arrival */
async function arrivals(options: MemoryNetworkOptions): Promise<readonly number[]> {
  const { a, b } = pair(options)
  const seen: number[] = []
  b.onMessage('n', async (_from, body) => {
    seen.push(body[0] ?? -1)
    return body
  })
  await Promise.all(Array.from({ length: 40 }, (_, value) => a.request(b.self, 'n', Uint8Array.of(value), SOON)))
  await Promise.all([a.close(), b.close()])
  return seen
}
const IN_ORDER = Array.from({ length: 40 }, (_, value) => value)
const delayMs: NonNullable<MemoryNetworkOptions['delayMs']> = (random) => (random.bytes(1)[0] ?? 0) % 8

test(
  'a link keeps its order whatever the delays, unless it may reorder',
  within(5_000, async () => {
    assert.equal(await arrivals({}), IN_ORDER)
    assert.equal(await arrivals({ delayMs }), IN_ORDER)
    const mixed = await arrivals({ delayMs, reorder: true })
    assert.equal(
      [...mixed].sort((x, y) => x - y),
      IN_ORDER,
    )
    assert.not.equal(mixed, IN_ORDER)
    assert.not.equal(await arrivals({ reorder: true }), IN_ORDER)
  }),
)

test(
  'a lost request or reply costs a deadline, in the share that was asked for',
  within(8_000, async () => {
    const { a, b } = pair({ dropPermille: 300 })
    let handled = 0
    b.onMessage('n', async (_from, body) => {
      handled += 1
      return body
    })
    const codes = await Promise.all(
      Array.from({ length: 300 }, () => codeOf(a.request(b.self, 'n', new Uint8Array(1), { deadlineMs: 300 }))),
    )
    const lost = codes.filter((code) => code === 'CF_MESH_DEADLINE').length
    assert.is(codes.filter((code) => code === 'resolved').length + lost, 300)
    // Both ways must arrive: 1 - 0.7 * 0.7 of 300 is 153.
    assert.ok(lost > 100 && lost < 210, `${lost} lost`)
    assert.ok(handled > 300 - lost, 'a lost reply is of a request that was handled')
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'what is lost depends on the seed alone',
  within(5_000, async () => {
    const losses = async (): Promise<readonly string[]> => {
      const { a, b } = pair({ dropPermille: 500 })
      b.onMessage('n', async (_from, body) => body)
      const codes: string[] = []
      for (let count = 0; count < 12; count += 1)
        codes.push(await codeOf(a.request(b.self, 'n', new Uint8Array(1), { deadlineMs: 15 })))
      await Promise.all([a.close(), b.close()])
      return codes
    }
    assert.equal(await losses(), await losses())
  }),
)

test(
  'a stream whose opening is lost fails at its deadline, and its handler hears of it',
  within(5_000, async () => {
    const { a, b } = pair({ dropPermille: 1_000 })
    b.onStream('s', async () => {})
    assert.is(await codeOf(a.openStream(b.self, 's', new Uint8Array(1), { deadlineMs: 30 })), 'CF_MESH_DEADLINE')
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a stream whose opening answer is lost fails at its deadline though its handler has returned',
  within(5_000, async () => {
    // Chance of two messages: the opening arrives (999), its answer is lost (0).
    const draws = [Uint8Array.of(3, 231), Uint8Array.of(0, 0)]
    const random = { bytes: () => draws.shift() ?? new Uint8Array(2) }
    const { a, b } = pair({ dropPermille: 500 }, { random })
    const handled = Promise.withResolvers<void>()
    b.onStream('s', async () => handled.resolve())
    const opening = codeOf(a.openStream(b.self, 's', new Uint8Array(1), { deadlineMs: 30 }))
    await handled.promise
    assert.is(await opening, 'CF_MESH_DEADLINE')
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a bug in a handler is handed to the daemon; the caller learns only that it failed',
  within(5_000, async () => {
    const bugs: unknown[] = []
    const { a, b } = pair({}, { onBug: (error) => bugs.push(error) })
    const bug = new TypeError('secret text')
    b.onMessage('n', () => {
      throw bug
    })
    b.onStream('s', () => {
      throw bug
    })
    const refused = await failureOf(a.request(b.self, 'n', new Uint8Array(1), SOON))
    assert.equal([refused.code, refused.detail], ['CF_MESH_REFUSED', { code: 'CF_CONTROL_INTERNAL' }])
    const stream = await a.openStream(b.self, 's', new Uint8Array(1), SOON)
    assert.is(await codeOf(stream[Symbol.asyncIterator]().next()), 'CF_MESH_REFUSED')
    assert.equal(bugs, [bug, bug])
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a peer that runs as many handlers as it may refuses more, then takes calls again',
  within(5_000, async () => {
    const { a, b } = pair({ handlerCountMax: 2 })
    const gate = Promise.withResolvers<Uint8Array>()
    b.onMessage('wait', () => gate.promise)
    const first = [
      a.request(b.self, 'wait', new Uint8Array(1), SOON),
      a.request(b.self, 'wait', new Uint8Array(1), SOON),
    ]
    const third = await failureOf(a.request(b.self, 'wait', new Uint8Array(1), SOON))
    assert.equal([third.code, third.detail['reason']], ['CF_MESH_REFUSED', 'too_many_calls'])
    gate.resolve(new Uint8Array(1))
    await Promise.all(first)
    assert.is(await codeOf(a.request(b.self, 'wait', new Uint8Array(1), SOON)), 'resolved')
    await Promise.all([a.close(), b.close()])
  }),
)

test(
  'a peer that has closed may connect again; twice at once is a bug',
  within(5_000, async () => {
    const network = createMemoryNetwork({}, { clock: systemClock, random: seededRandom(seed) })
    const first = network.endpoint(peer(1))
    assert.throws(() => network.endpoint(peer(1)), /invariant/)
    await first.close()
    const again = network.endpoint(peer(1))
    again.onMessage('echo', async (_from, body) => body)
    assert.equal(await again.request(again.self, 'echo', Uint8Array.of(1), SOON), Uint8Array.of(1))
    await again.close()
  }),
)

test(
  'closing does not wait for ever for a handler that ignores its signal',
  within(5_000, async () => {
    const { a, b } = pair({})
    b.onMessage('stuck', () => new Promise(() => {}))
    const request = codeOf(a.request(b.self, 'stuck', new Uint8Array(1), { deadlineMs: 60_000 }))
    await systemClock.sleep(5)
    await b.close()
    assert.is(await request, 'CF_MESH_PEER_UNREACHABLE')
    await a.close()
  }),
)

test(
  'calls that ended leave no timer: a long deadline does not keep the process',
  within(5_000, async () => {
    let sleeping = 0
    const clock = {
      ...systemClock,
      async sleep(ms: number, signal?: AbortSignal): Promise<void> {
        sleeping += 1
        await systemClock.sleep(ms, signal).finally(() => {
          sleeping -= 1
        })
      },
    }
    const { a, b } = pair({}, { clock })
    b.onMessage('ok', async (_from, body) => body)
    b.onMessage('no', async () => {
      throw new FabricError('CF_JOB_UNKNOWN')
    })
    b.onStream('s', async (_from, _body, stream) => stream.send(Uint8Array.of(1)))
    const long = { deadlineMs: 3_600_000 }
    await a.request(b.self, 'ok', new Uint8Array(1), long)
    await codeOf(a.request(b.self, 'no', new Uint8Array(1), long))
    await codeOf(a.request(b.self, 'none', new Uint8Array(1), long))
    for await (const frame of await a.openStream(b.self, 's', new Uint8Array(1), long)) assert.is(frame.length, 1)
    await systemClock.sleep(5)
    assert.is(sleeping, 0)
    await Promise.all([a.close(), b.close()])
  }),
)

test.run()
