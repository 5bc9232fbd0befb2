/** Server-sent events on a raw response (WHATWG HTML 9.2), with back-pressure: a slow reader slows the job's stream, a stalled one is dropped. */
import type { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { Clock } from '../runtime/ports.ts'
import { linkedSignal } from './linked-signal.ts'

/** Frames are flushed earlier when so much waits: a job that is told again from its beginning is all there at once. */
const PENDING_CHARS_MAX = 16_384

export type EventStreamOptions = { readonly stalledReaderMs: number }

/** Streams with frames to write at the end of this turn, all by one callback. */
const waiting: EventStream[] = []

function flushAll(): void {
  for (const stream of waiting.splice(0)) stream.flush()
}

/** Aborts when the client's connection closes before the answer is complete. */
export function hangUpSignal(raw: ServerResponse): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished) controller.abort(new Error('the client hung up'))
  })
  return controller.signal
}

/**
 * Closes the connection when the reader takes nothing of a complete answer for too long: nobody else waits for it any more.
 *
 * An answer that waits for an earlier one on its connection has no socket yet, and waits as long as that one may.
 */
export function hangUpOnStall(raw: ServerResponse, stalledReaderMs: number): void {
  const { socket } = raw
  if (socket === null || raw.writableEnded) return
  socket.setTimeout(stalledReaderMs)
  // Before the HTTP library, which then sets how long the connection may be idle.
  raw.prependOnceListener('finish', () => socket.setTimeout(0))
}

/** Resolves when the sink takes more, or never will. */
function movesOn(sink: EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off('drain', done).off('close', done)
      resolve()
    }
    sink.on('drain', done).on('close', done)
  })
}

/** @param json  one line */
export function dataFrame(json: string): string {
  return `data: ${json}\n\n`
}

export class EventStream {
  readonly #raw: ServerResponse
  readonly #options: EventStreamOptions
  readonly #clock: Clock
  /** Frames that wait for the end of this turn. */
  #pending = ''
  /** One wait for all who have something to say to a slow reader. */
  #moving: Promise<void> | undefined

  private constructor(raw: ServerResponse, options: EventStreamOptions, clock: Clock) {
    this.#raw = raw
    this.#options = options
    this.#clock = clock
  }

  /** Takes the response over from the HTTP library: from here on errors are events. */
  static open(reply: FastifyReply, options: EventStreamOptions, clock: Clock): EventStream {
    reply.hijack()
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value)
    }
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    // The head goes out by the HTTP library, before any chunk that does not.
    reply.raw.flushHeaders()
    return new EventStream(reply.raw, options, clock)
  }

  event(name: string, json: string, signal: AbortSignal): Promise<void> | undefined {
    return this.send(`event: ${name}\ndata: ${json}\n\n`, signal)
  }

  /**
   * Says one event; what is said in the same turn of the event loop goes out as one write.
   *
   * @param frame  a whole event: `data: ` and one line of JSON, as JSON.stringify never breaks one, and an empty line
   * @returns      a promise when the reader is slow: nothing more should be said before it resolves
   * @throws       the signal's reason, at once or in the promise
   */
  send(frame: string, signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted()
    if (this.#pending === '' && waiting.push(this) === 1) process.nextTick(flushAll)
    this.#pending += frame
    if (this.#pending.length >= PENDING_CHARS_MAX) this.flush()
    return (this.#raw.socket ?? this.#raw).writableNeedDrain ? this.#drained(signal) : undefined
  }

  end(): void {
    this.flush()
    hangUpOnStall(this.#raw, this.#options.stalledReaderMs)
    if (!this.#raw.writableEnded) this.#raw.end()
  }

  /**
   * Writes what waits.
   *
   * Why the chunk (RFC 9112 7.1) is put together here: the HTTP library hands its four parts to the kernel as a list, which costs more than
   * all else that a token costs. A response that is not chunked (HTTP/1.0), or has no socket yet because an earlier one on the connection is
   * not over, goes through the library.
   */
  flush(): void {
    const frames = this.#pending
    this.#pending = ''
    const raw = this.#raw
    const { socket } = raw
    if (frames === '' || raw.writableEnded || raw.destroyed) return
    if (socket === null || !raw.chunkedEncoding) raw.write(frames)
    else if (socket.writable) socket.write(`${Buffer.byteLength(frames).toString(16)}\r\n${frames}\r\n`)
  }

  async #drained(signal: AbortSignal): Promise<void> {
    const { signal: stop, abort } = linkedSignal(signal)
    this.#moving ??= movesOn(this.#raw.socket ?? this.#raw).then(() => {
      this.#moving = undefined
    })
    const stalled = this.#clock.sleep(this.#options.stalledReaderMs, stop).then(
      () => true,
      () => false,
    )
    try {
      const isStalled = await Promise.race([this.#moving.then(() => false), stalled])
      signal.throwIfAborted()
      if (!isStalled) return
      this.#raw.destroy()
      throw new Error('the reader took nothing for too long')
    } finally {
      abort()
    }
  }
}
