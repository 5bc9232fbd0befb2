import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { HeaderCopies } from '../../../../node/jobs/header-copies.ts'
import type { PeerStream, PeerTransport } from '../../../../node/runtime/ports.ts'
import { jobNamed, keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const WATCH = { jobId: jobNamed('job'), attempt: 0, replica: 0 }
const WITNESS = keyNamed('witness').peer

/** A witness whose end of the stream this test holds. */
function witness(send: (frame: Uint8Array) => Promise<void>) {
  const seen = { opened: 0, ended: 0, destroyed: 0 }
  const stream = {
    send,
    end: () => {
      seen.ended += 1
    },
    destroy: () => {
      seen.destroyed += 1
    },
  } as Partial<PeerStream> as PeerStream
  const openStream = async (): Promise<PeerStream> => {
    seen.opened += 1
    return stream
  }
  return { seen, transport: { openStream } as Partial<PeerTransport> as PeerTransport }
}

async function settled(): Promise<void> {
  for (let round = 0; round < 20; round += 1) await turn()
}

test(
  'headers go to a witness in order, and its stream ends when the worker is done, whether or not anybody read on',
  within(2_000, async () => {
    const got: number[] = []
    const { seen, transport } = witness(async (frame) => void got.push(frame[0] ?? -1))
    const copies = new HeaderCopies(transport, [WITNESS], WATCH)
    assert.is(seen.opened, 0, 'nothing is opened for a worker that streams nothing')
    for (const byte of [1, 2, 3]) copies.send(Uint8Array.of(byte))
    copies.close()
    copies.send(Uint8Array.of(4))
    await settled()
    assert.equal(got, [1, 2, 3])
    assert.equal(seen, { opened: 1, ended: 1, destroyed: 0 })
  }),
)

test(
  'a witness that reads nothing is given up, and costs the worker no more than what it may wait for',
  within(2_000, async () => {
    let sent = 0
    const { transport } = witness(() => {
      sent += 1
      return new Promise(() => undefined)
    })
    const copies = new HeaderCopies(transport, [WITNESS], WATCH)
    for (let header = 0; header < 1_000; header += 1) copies.send(Uint8Array.of(1))
    await settled()
    assert.ok(sent <= 1, `${sent} sent`)
  }),
)

test(
  'a stream that never opens is given up soon after the worker is done',
  within(6_000, async () => {
    let signal: AbortSignal | undefined
    const openStream: PeerTransport['openStream'] = (_peer, _type, _body, options) => {
      signal = options.signal
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal?.reason)))
    }
    const copies = new HeaderCopies({ openStream } as Partial<PeerTransport> as PeerTransport, [WITNESS], WATCH)
    copies.send(Uint8Array.of(1))
    await settled()
    assert.not(signal?.aborted)
    copies.close()
    await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    assert.ok(signal?.aborted)
  }),
)

test(
  'a witness that breaks off is let go of, and nobody hears of it',
  within(2_000, async () => {
    const { seen, transport } = witness(async () => {
      throw new FabricError('CF_MESH_STREAM_BROKEN')
    })
    const copies = new HeaderCopies(transport, [WITNESS], WATCH)
    copies.send(Uint8Array.of(1))
    await settled()
    copies.send(Uint8Array.of(2))
    copies.close()
    await settled()
    assert.equal(seen, { opened: 1, ended: 0, destroyed: 1 })
  }),
)

test.run()
