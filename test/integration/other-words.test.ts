/** Workers that commit to what they computed and show the client something else. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AnswerOpener, AnswerSealer } from '../../core/identity/sealed-answers.ts'
import type { SwarmId } from '../../core/ids.ts'
import { workFrameCodec } from '../../core/job/proposal.ts'
import { openMessage } from '../../core/job/sealed-message.ts'
import { auditBooks } from '../../core/log/apply.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { expectAccepted, secretOf } from '../support/job-run.ts'
import { heardBy, JobSwarm } from '../support/job-swarm.ts'
import { sharedSeeds } from '../support/seeds.ts'
import { within } from '../support/within.ts'

/** Behind the honest worker, with its key: opens what that has sealed, changes the text, and seals it again. */
function lying(inner: PeerTransport, swarmId: () => SwarmId, lied: () => void): PeerTransport {
  const relabel = (bytes: Uint8Array): Uint8Array => {
    const frame = expectAccepted(workFrameCodec.decode(bytes))
    if (frame.kind !== 'tokens' || frame.text === '') return bytes
    lied()
    return workFrameCodec.encode({ ...frame, text: 'LIE' })
  }
  return {
    self: inner.self,
    request: (peer, type, body, options) => inner.request(peer, type, body, options),
    openStream: (peer, type, body, options) => inner.openStream(peer, type, body, options),
    onMessage: (type, handler) => inner.onMessage(type, handler),
    onStream: (type, handler) =>
      inner.onStream(type, (from, body, stream, signal) => {
        if (type !== 'job/execute') return handler(from, body, stream, signal)
        const about = { swarmId: swarmId(), kind: type, from }
        const { answerSecret } = expectAccepted(openMessage(secretOf(inner.self), about, body))
        const [opener, sealer] = [new AnswerOpener(answerSecret), new AnswerSealer(answerSecret, new Uint8Array(32))]
        const liar = {
          send: (bytes: Uint8Array) => stream.send(sealer.seal(relabel(expectAccepted(opener.open(bytes))))),
          end: () => stream.end(),
          destroy: () => stream.destroy(),
          [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
        }
        return handler(from, body, liar, signal)
      }),
    close: () => inner.close(),
  }
}

test(
  'a worker that shows the client other words than it commits to is not paid',
  within(30_000, async () => {
    for (const replicas of [1, 3]) {
      let lies = 0
      const lied = (): void => {
        lies += 1
      }
      const swarm: JobSwarm = await JobSwarm.start({
        policy: { attemptsMax: 1 },
        tap: (transport) => lying(transport, () => swarm.log.state.swarmId, lied),
      })
      const { id, feed } = await swarm.submit({ replicas }, sharedSeeds(replicas))
      const { text, outcome } = await heardBy(feed.listen(AbortSignal.timeout(25_000)))
      assert.ok(lies > 0 && text.includes('LIE'), 'the client has read it')
      const { settlement } = swarm.log.job(id)
      assert.is(outcome.outcome, 'refunded')
      assert.is(settlement?.outcome, 'refunded')
      assert.is(auditBooks(swarm.log.state).total, 0n)
      assert.equal(swarm.bugs, [])
      swarm.stop()
    }
  }),
)

test.run()
