import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  endItem,
  FrameParser,
  framed,
  grantWord,
  WireFault,
  windowHead,
} from '../../../../../node/mesh/tls/frame-parser.ts'
import { Inbox } from '../../../../../node/mesh/tls/inbox.ts'
import { Outbox } from '../../../../../node/mesh/tls/outbox.ts'
import { codeOf } from '../../../../support/error-code.ts'
import { seededRandom, testSeed } from '../../../../support/seeded-random.ts'

const random = seededRandom(testSeed())

type Items = (readonly ['window' | 'grant' | 'frame' | 'end', ...(readonly unknown[])])[]

function parser(items: Items, frameBytesMax = 100): FrameParser {
  return new FrameParser(frameBytesMax, {
    window: (...sizes) => items.push(['window', ...sizes]),
    grant: (count) => items.push(['grant', count]),
    frame: (frame) => items.push(['frame', [...frame]]),
    end: (why) => items.push(['end', [...why]]),
    claim: () => {},
  })
}

const STREAM = Buffer.concat([
  windowHead(32, 1_000),
  framed(Uint8Array.of(1, 2)),
  grantWord(3),
  framed(new Uint8Array()),
  endItem(Uint8Array.of(7)),
  grantWord(9),
])

test('items are the same however the bytes are cut', () => {
  for (let round = 0; round < 200; round += 1) {
    const items: Items = []
    const parsing = parser(items)
    for (let at = 0; at < STREAM.length; ) {
      const size = 1 + random.below(STREAM.length)
      parsing.push(STREAM.subarray(at, at + size))
      at += size
    }
    assert.equal(items, [
      ['window', 32, 1_000],
      ['frame', [1, 2]],
      ['grant', 3],
      ['frame', []],
      ['end', [7]],
      ['grant', 9],
    ])
  }
})

function faultOf(...bytes: readonly Uint8Array[]): string {
  try {
    parser([]).push(Buffer.concat(bytes))
    return 'none'
  } catch (error) {
    return error instanceof WireFault ? error.reason : String(error)
  }
}

test('what is no stream of ours is a fault with a reason', () => {
  const head = windowHead(1, 1)
  assert.is(faultOf(windowHead(0, 1)), 'protocol')
  assert.is(faultOf(windowHead(1, 0)), 'protocol')
  assert.is(faultOf(grantWord(1)), 'protocol')
  assert.is(faultOf(head, framed(new Uint8Array(101))), 'frame_too_large')
  assert.is(faultOf(head, framed(new Uint8Array(100))), 'none')
  assert.is(faultOf(head, endItem(new Uint8Array(65))), 'frame_too_large')
  assert.is(faultOf(head, grantWord(0), grantWord(1)), 'protocol')
  assert.is(faultOf(head, endItem(new Uint8Array()), framed(new Uint8Array())), 'protocol')
  assert.is(faultOf(head, endItem(new Uint8Array()), endItem(new Uint8Array())), 'protocol')
})

/** An outbox and an inbox joined by nothing but their rules. */
function pair(frameCountMax: number, windowBytesMax: number, read: (parser: FrameParser) => void = () => {}) {
  const sent: Uint8Array[] = []
  const outbox = new Outbox({
    frameCountMax,
    frameBytesMax: 1_000,
    write: (bytes) => sent.push(bytes),
    isDrained: () => true,
    finish: () => {},
  })
  const inbox = new Inbox({ frameCountMax, windowBytesMax, grant: (count) => outbox.granted(count), release: () => {} })
  outbox.open(frameCountMax, windowBytesMax)
  const parsing = new FrameParser(1_000, {
    window: () => {},
    grant: () => {},
    frame: (frame) => inbox.push(frame),
    end: () => {},
    claim: () => {},
  })
  parsing.push(windowHead(1, 1))
  read(parsing)
  return { outbox, inbox, deliver: () => sent.splice(0).map((bytes) => parsing.push(bytes)) }
}

test('whatever the sizes, a reader that reads gets every frame and no window is exceeded', async () => {
  for (let round = 0; round < 100; round += 1) {
    const sizes = Array.from({ length: 200 }, () => random.below(random.below(4) === 0 ? 1_000 : 20))
    const { outbox, inbox, deliver } = pair(1 + random.below(20), 1 + random.below(2_000))
    const got: number[] = []
    const sending = (async () => {
      for (const size of sizes) await outbox.push(new Uint8Array(size))
    })()
    for (let turn = 0; got.length < sizes.length; turn += 1) {
      assert.ok(turn < 100_000, 'it goes on')
      deliver()
      const next = inbox.next()
      const frame = await Promise.race([
        next,
        new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined))),
      ])
      if (frame !== undefined) got.push(frame.value?.length ?? -1)
      else {
        // The reader waits; what was granted lets the sender go on.
        deliver()
        got.push((await next).value?.length ?? -1)
      }
    }
    await sending
    assert.equal(got, sizes)
  }
})

test('a sender that goes on without room, and a reader that grants what it never got, are faults', () => {
  const { inbox } = pair(2, 100)
  inbox.push(new Uint8Array(1))
  inbox.push(new Uint8Array(1))
  assert.throws(() => inbox.push(new Uint8Array(1)), 'window_exceeded')
  const { outbox } = pair(2, 100)
  assert.throws(() => outbox.granted(1), 'window_exceeded')
})

test('sends that wait are told how it ended', async () => {
  const waiting = (): { readonly outbox: Outbox; readonly code: Promise<string> } => {
    const { outbox } = pair(1, 100)
    const codes = [outbox.push(new Uint8Array(1)), outbox.push(new Uint8Array(1))].map(codeOf)
    return { outbox, code: Promise.all(codes).then(([, second]) => second ?? '') }
  }
  const ended = waiting()
  ended.outbox.finish(new Uint8Array())
  assert.is(await ended.code, 'CF_MESH_STREAM_BROKEN')
  const dropped = waiting()
  dropped.outbox.discard()
  assert.is(await dropped.code, 'resolved')
  const cut = waiting()
  cut.outbox.break(new Error('cut'))
  assert.is(await cut.code, 'other: Error: cut')
})

test.run()
