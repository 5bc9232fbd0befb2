/** How a request and a stream are answered once they are let in. */
import { Collector } from './collector.ts'
import { WireFault } from './frame-parser.ts'
import { FrameStream } from './frame-stream.ts'
import type { Handlers } from './handlers.ts'
import type { Inbound } from './inbound.ts'
import { answerHeaders, broken, whyOf } from './wire.ts'

/** @throws WireFault when it is refused at once */
export function serveRequest(inbound: Inbound, type: string, handlers: Handlers): void {
  const { stream, limits, purse } = inbound
  const handler = handlers.requests.get(type)
  if (handler === undefined) throw new WireFault('no_handler')
  if (inbound.byteCount === undefined) throw new WireFault('protocol')
  if (inbound.byteCount > limits.frameBytesMax) throw new WireFault('body_too_large')
  const body = new Collector(inbound.byteCount, purse)
  stream.on('data', (chunk: Uint8Array) => inbound.guarded(() => body.push(chunk)))
  stream.once('end', () => {
    // A request that was reset ends too.
    if (!body.isWhole) {
      inbound.cutShort()
      return
    }
    inbound.run(async () => {
      const { from, signal } = inbound
      const outcome = await handlers.run(() => handler(from, body.bytes(), signal), signal)
      if (outcome.refusal === undefined) inbound.guarded(() => answer(inbound, outcome.value))
      else inbound.refuse(outcome.refusal)
    })
  })
}

/** @throws WireFault when there is no room for the answer */
function answer(inbound: Inbound, bytes: Uint8Array): void {
  const { stream, limits, purse } = inbound
  if (bytes.length > limits.frameBytesMax) throw new WireFault('answer_too_large')
  // Held until the caller has taken it: whoever reads slowly has less room, not us.
  if (!purse.hold(bytes.length)) throw new WireFault('too_many_bytes')
  if (stream.closed || stream.destroyed) return
  stream.respond(answerHeaders(bytes.length))
  stream.end(Uint8Array.from(bytes))
}

/** @throws WireFault when it is refused at once */
export function serveStream(inbound: Inbound, type: string, handlers: Handlers): void {
  const { stream, limits, purse } = inbound
  const handler = handlers.streams.get(type)
  if (handler === undefined) throw new WireFault('no_handler')
  let ended = false
  const frames = new FrameStream(stream, {
    limits,
    purse,
    onFault: (fault) => inbound.fault(fault.reason),
    onEnd: () => {
      ended = true
      frames.finishReading()
    },
    onBody: (body) =>
      inbound.run(async () => {
        const peerStream = frames.asPeerStream(() => inbound.cut())
        const outcome = await handlers.run(
          () => handler(inbound.from, body, peerStream, inbound.signal),
          inbound.signal,
        )
        frames.finishWriting(whyOf(outcome.refusal))
        frames.finishReading()
        stream.end()
      }),
  })
  stream.once('end', () => {
    if (!ended) inbound.cutShort()
  })
  inbound.signal.addEventListener('abort', () => frames.break(broken()), { once: true })
  stream.respond(answerHeaders())
  frames.begin()
  frames.listen()
}
