/** A PeerStream over the two directions of one HTTP/2 stream. */
import type { Http2Stream } from 'node:http2'
import type { PeerStream } from '../../runtime/ports.ts'
import { endItem, FrameParser, framed, grantWord, WireFault, windowHead } from './frame-parser.ts'
import { Inbox } from './inbox.ts'
import type { MeshLimits } from './options.ts'
import { Outbox } from './outbox.ts'
import type { Purse } from './room.ts'

export type FrameStreamOptions = {
  readonly limits: MeshLimits
  /** Of the call: what waits here in either direction is held in it. */
  readonly purse: Purse
  /** The other side broke the rules, or the bounds. */
  readonly onFault: (fault: WireFault) => void
  /** The other side has ended its frames. @param why  empty for a normal end */
  readonly onEnd: (why: Uint8Array) => void
  /** Gets the first frame, which is the body of the call and stands outside of the window. */
  readonly onBody?: (body: Uint8Array) => void
}

const NOTHING = new Uint8Array()

export class FrameStream {
  readonly #stream: Http2Stream
  readonly #options: FrameStreamOptions
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  readonly #parser: FrameParser
  #faulty = false
  #body: ((body: Uint8Array) => void) | undefined

  constructor(stream: Http2Stream, options: FrameStreamOptions) {
    this.#stream = stream
    this.#options = options
    this.#body = options.onBody
    const { frameCountMax, frameBytesMax, windowBytesMax } = options.limits
    this.#inbox = new Inbox({
      frameCountMax,
      windowBytesMax,
      grant: (frameCount) => this.#write(grantWord(frameCount)),
      release: (byteCount) => options.purse.release(byteCount),
    })
    this.#outbox = new Outbox({
      frameCountMax,
      frameBytesMax,
      write: (bytes) => this.#write(bytes),
      isDrained: () => !stream.writableNeedDrain,
      // The stream itself stays open this way: grants for what is still read go on it.
      finish: (why) => this.#write(endItem(why)),
    })
    this.#parser = new FrameParser(frameBytesMax, {
      window: (frameCount, byteCount) => this.#outbox.open(frameCount, byteCount),
      grant: (frameCount) => this.#outbox.granted(frameCount),
      frame: (frame) => this.#arrive(frame),
      end: (why) => options.onEnd(why),
      claim: (byteCount) => this.#claim(byteCount),
    })
    stream.on('drain', () => this.#outbox.pump())
  }

  /** @param body  of the call, when this is the calling side */
  begin(body?: Uint8Array): void {
    const { frameCountMax, windowBytesMax } = this.#options.limits
    this.#write(windowHead(frameCountMax, windowBytesMax))
    if (body !== undefined) this.#write(framed(body))
  }

  listen(): void {
    this.#stream.on('data', (chunk: Uint8Array) => this.#guarded(() => this.#parser.push(chunk)))
  }

  /** Nothing more comes. @param error  absent: a normal end */
  finishReading(error?: unknown): void {
    this.#inbox.finish(error)
  }

  /** Nothing more goes. @param why  the name of a refusal; absent: a normal end */
  finishWriting(why: Uint8Array = NOTHING): void {
    this.#outbox.finish(why)
  }

  discardWriting(): void {
    this.#outbox.discard()
  }

  break(error: unknown): void {
    this.#inbox.break(error)
    this.#outbox.break(error)
  }

  asPeerStream(destroy: () => void): PeerStream {
    return {
      send: (frame) => this.#outbox.push(frame),
      end: () => this.#outbox.finish(NOTHING),
      destroy,
      [Symbol.asyncIterator]: () => ({ next: () => this.#inbox.next() }),
    }
  }

  #arrive(frame: Uint8Array): void {
    const body = this.#body
    this.#body = undefined
    if (body === undefined) this.#inbox.push(frame)
    else body(frame)
  }

  #claim(byteCount: number): void {
    if (!this.#options.purse.hold(byteCount)) throw new WireFault('too_many_bytes')
  }

  #write(bytes: Uint8Array): void {
    if (this.#stream.destroyed || !this.#stream.writable) return
    this.#guarded(() => {
      this.#claim(bytes.length)
      this.#stream.write(bytes, () => this.#options.purse.release(bytes.length))
    })
  }

  /** The first fault is the last: what follows it is of no use. */
  #guarded(work: () => void): void {
    if (this.#faulty) return
    try {
      work()
    } catch (error) {
      if (!(error instanceof WireFault)) throw error
      this.#faulty = true
      this.#options.onFault(error)
    }
  }
}
