/** A stream whose answers only the sender of its order can read. */
import { FabricError } from '../../core/errors.ts'
import { AnswerOpener, AnswerSealer } from '../../core/identity/sealed-answers.ts'
import type { PeerStream } from '../runtime/ports.ts'

/**
 * The side that answers: what it sends is sealed, what it hears is not.
 *
 * @param answerSecret  of the box that the order came in
 * @param salt          32 fresh bytes
 */
export function answering(stream: PeerStream, answerSecret: Uint8Array, salt: Uint8Array): PeerStream {
  const sealer = new AnswerSealer(answerSecret, salt)
  return {
    // Sealed as it is called: frames that are not waited for keep the order of their numbers.
    send: (frame) => stream.send(sealer.seal(frame)),
    end: () => stream.end(),
    destroy: () => stream.destroy(),
    [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
  }
}

/** The side that ordered: iterating throws CF_IDENTITY_BOX_INVALID at a frame that is not the next of its answer. */
export function hearing(stream: PeerStream, answerSecret: Uint8Array): PeerStream {
  return {
    send: (frame) => stream.send(frame),
    end: () => stream.end(),
    destroy: () => stream.destroy(),
    [Symbol.asyncIterator]: () => opened(stream, answerSecret),
  }
}

async function* opened(stream: PeerStream, answerSecret: Uint8Array): AsyncGenerator<Uint8Array> {
  const opener = new AnswerOpener(answerSecret)
  for await (const bytes of stream) {
    const frame = opener.open(bytes)
    if (frame.action !== 'accept') throw new FabricError('CF_IDENTITY_BOX_INVALID', { reason: frame.reason })
    yield frame.value
  }
}
