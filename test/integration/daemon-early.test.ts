/** What begins before its turn, so that a first token does not wait for the disk, and what must wait all the same. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Taps } from '../../node/daemon.ts'
import type { Ledger, PeerTransport } from '../../node/runtime/ports.ts'
import { chat, withFakeDaemon } from '../support/fake-daemon.ts'
import { within } from '../support/within.ts'

type Watched = { readonly taps: Partial<Taps>; readonly order: readonly string[] }

/** The log takes an assignment only when its worker has been given its order. */
function logThatWaits(): Watched {
  const order: string[] = []
  let opened: () => void = () => undefined
  const isOpen = new Promise<void>((resolve) => {
    opened = resolve
  })
  const ledger = (inner: Ledger): Ledger => ({
    async append(kind, body, alongside) {
      if (kind === 'assignment') await isOpen
      const result = await inner.append(kind, body, alongside)
      order.push(kind)
      return result
    },
    close: () => inner.close(),
  })
  const transport = (inner: PeerTransport): PeerTransport => ({
    self: inner.self,
    async request(peer, type, body, options) {
      order.push(type)
      return inner.request(peer, type, body, options)
    },
    async openStream(peer, type, body, options) {
      const stream = await inner.openStream(peer, type, body, options)
      order.push(type)
      opened()
      return stream
    },
    onMessage: (type, handler) => inner.onMessage(type, handler),
    onStream: (type, handler) => inner.onStream(type, handler),
    close: () => inner.close(),
  })
  return { taps: { ledger, transport }, order }
}

test(
  'a worker gets its order when the certificate is there, and nothing is revealed before the log has the assignment',
  within(20_000, async () => {
    const { taps, order } = logThatWaits()
    await withFakeDaemon({ taps }, async ({ url }) => {
      const answer = await chat(url, {})
      assert.is(answer.status, 200, answer.body)
      const places = ['hold', 'vote/assignment', 'job/execute', 'assignment', 'job/reveal', 'settlement']
      const found = places.map((name) => order.indexOf(name))
      assert.ok(!found.includes(-1), order.join())
      assert.equal(
        found,
        [...found].sort((a, b) => a - b),
        order.join(),
      )
      assert.is(order.filter((type) => type === 'job/execute').length, 1, 'the order is given once')
    })
  }),
)

test(
  'peers beyond those that will work are not asked while these accept',
  within(20_000, async () => {
    const { taps, order } = logThatWaits()
    await withFakeDaemon({ taps }, async ({ url }) => {
      const answer = await chat(url, {})
      assert.is(answer.status, 200, answer.body)
      assert.is(order.filter((type) => type === 'job/offer').length, 1)
    })
  }),
)

test.run()
