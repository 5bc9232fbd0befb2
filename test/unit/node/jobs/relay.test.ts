import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import { Relay } from '../../../../node/jobs/relay.ts'
import { codeOf } from '../../../support/error-code.ts'
import { missing } from '../../../support/missing.ts'
import { keyNamed } from '../../../support/people.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const seed = testSeed()
/** More would not fit the delivery record. */
const ATTEMPTS_MAX = 3
const WORKERS = ['w0', 'w1', 'w2'].map((name) => keyNamed(name).peer)
const worker = (place: number): PeerId => WORKERS[place] ?? missing()
const part = (...ids: readonly number[]) => ({ ids, text: ids.map((id) => String.fromCharCode(97 + id)).join('') })
const hear = (relay: Relay, replica: number, ...ids: readonly number[]) =>
  relay.hear(replica, worker(replica), part(...ids))
const never = (): boolean => false

function relayed(): Relay {
  const relay = new Relay(true)
  hear(relay, 0, 1, 2)
  return relay
}

test('the furthest replica that says the same goes on', () => {
  const relay = relayed()
  hear(relay, 1, 1)
  hear(relay, 2, 1, 2, 3)
  const change = relay.lose(0, WORKERS)
  assert.equal(change, { heir: 2, part: { ids: [3], text: 'd' } })
  assert.equal(hear(relay, 2, 4), part(4))
  assert.is(hear(relay, 1, 2, 3, 4), undefined)
  assert.ok(relay.finish(2, worker(2)))
  assert.equal(relay.segments, [
    { worker: WORKERS[0], tokenStart: 0, tokenCount: 2 },
    { worker: WORKERS[2], tokenStart: 2, tokenCount: 2 },
  ])
})

test('one that is behind is heard once it says something new', () => {
  const relay = relayed()
  assert.equal(relay.lose(0, WORKERS), { heir: 1, part: undefined })
  assert.is(hear(relay, 1, 1), undefined)
  assert.is(hear(relay, 1, 2), undefined)
  assert.equal(hear(relay, 1, 3), part(3))
})

test('nobody goes on from what only one has said', async () => {
  const relay = relayed()
  hear(relay, 1, 1, 7)
  hear(relay, 2, 1)
  assert.is(relay.finish(2, worker(2)), false)
  assert.is(relay.lose(0, WORKERS), 'stranded', 'one strays, the other has ended before')
})

test('a replica that is lost before anything was read leaves the place to whoever speaks', () => {
  const relay = new Relay(true)
  relay.hear(0, worker(0), { ids: [], text: '' })
  assert.is(relay.lose(0, WORKERS), undefined)
  assert.equal(hear(relay, 1, 5), part(5))
})

test('what was said while a silent replica had the place is not left out when that one is lost', () => {
  const [spoken, speaking] = [new Relay(true), new Relay(true)]
  for (const relay of [spoken, speaking]) relay.hear(0, worker(0), { ids: [], text: '' })
  hear(spoken, 1, 5)
  assert.equal(spoken.lose(0, WORKERS), { heir: 1, part: part(5) })
  assert.equal(hear(spoken, 1, 6), part(6))
  assert.is(speaking.lose(0, WORKERS), undefined)
  assert.equal(hear(speaking, 1, 5), part(5))
})

test('the next attempt says what was delivered and then something new, or is refused', async () => {
  const relay = relayed()
  assert.is(relay.lose(0, [worker(0)]), 'stranded')
  relay.renew()
  assert.equal(relay.carry(0, never), part(1, 2))
  assert.is(hear(relay, 0, 1), undefined)
  assert.equal(hear(relay, 0, 2, 3), part(3))
  relay.renew()
  assert.is(await codeOf(Promise.resolve().then(() => hear(relay, 0, 1, 9))), 'CF_MESH_REFUSED')
})

test('where replicas have seeds of their own nobody goes on for another', () => {
  const relay = new Relay(false)
  hear(relay, 0, 1, 2)
  hear(relay, 1, 1, 2, 3)
  assert.is(relay.lose(0, WORKERS), 'stranded', 'equal so far is no promise')
  relay.renew()
  assert.is(relay.carry(1, never), undefined)
  assert.equal(relay.carry(0, never), part(1, 2))
  assert.is(hear(relay, 1, 1, 2, 7), undefined)
  assert.is(relay.finish(1, worker(1)), false)
  assert.equal(hear(relay, 0, 1, 2, 3), part(3))
  assert.ok(relay.finish(0, worker(2)))
})

test('before anything was read any of them may be heard, whatever its seed', () => {
  const relay = new Relay(false)
  assert.is(relay.lose(0, WORKERS), undefined)
  assert.equal(hear(relay, 1, 5), part(5))
  assert.is(hear(relay, 2, 5), undefined)
})

test('an output that was delivered to its end is ended by the next worker, without its last batch', () => {
  const relay = relayed()
  hear(relay, 0, 3)
  relay.renew()
  assert.equal(
    relay.carry(0, (ids) => ids.length === 3),
    part(1, 2),
  )
  assert.is(hear(relay, 0, 1, 2), undefined)
  assert.is(hear(relay, 0, 3), undefined)
  assert.ok(relay.finish(0, worker(1)))
  assert.equal(relay.segments.at(-1), { worker: WORKERS[1], tokenStart: 3, tokenCount: 0 })
})

test('whoever dies in whatever order, the client hears one output from its beginning, without gaps', () => {
  const output = Array.from({ length: 12 }, (_, place) => place)
  fc.assert(
    fc.property(
      fc.array(fc.record({ replica: fc.nat(2), count: fc.nat(4), dies: fc.boolean() }), { maxLength: 60 }),
      (steps) => {
        const relay = new Relay(true)
        const heard: number[] = []
        let [said, lost, attempts]: [number[], Set<number>, number] = [[0, 0, 0], new Set(), 0]
        const renew = (): void => {
          attempts += 1
          relay.renew()
          said = [0, 0, 0]
          lost = new Set()
        }
        for (const { replica, count, dies } of steps) {
          if (lost.has(replica) || attempts === ATTEMPTS_MAX) continue
          const from = said[replica] ?? 0
          const out = hear(relay, replica, ...output.slice(from, from + count))
          said[replica] = Math.min(output.length, from + count)
          heard.push(...(out?.ids ?? []))
          if (!dies) continue
          lost.add(replica)
          const change = relay.lose(replica, WORKERS)
          if (change === 'stranded' || lost.size === WORKERS.length) renew()
          else heard.push(...(change?.part?.ids ?? []))
        }
        assert.equal(heard, output.slice(0, heard.length))
        const { segments } = relay
        assert.is(
          segments.reduce((next, { tokenStart, tokenCount }) => (tokenStart === next ? next + tokenCount : -1), 0),
          heard.length,
        )
      },
    ),
    { seed, numRuns: 500 },
  )
})

test.run()
