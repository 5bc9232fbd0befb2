/** Server-sent events on a raw response (WHATWG HTML 9.2), with back-pressure: a slow reader slows the job's stream, a stalled one is dropped. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { Clock } from '../runtime/ports.ts'

export type EventStreamOptions = { readonly stalledReaderMs: number }

/** Aborts when the client's connection closes before the answer is complete. */
export function hangUpSignal(raw: ServerResponse): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished) controller.abort(new Error('the client hung up'))
  })
  return controller.signal
}

export class EventStream {
  readonly #raw: ServerResponse
  readonly #options: EventStreamOptions
  readonly #clock: Clock

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
    return new EventStream(reply.raw, options, clock)
  }

  /** @param json  one line: JSON.stringify never breaks one */
  async data(json: string, signal: AbortSignal): Promise<void> {
    await this.#write(`data: ${json}\n\n`, signal)
  }

  async event(name: string, json: string, signal: AbortSignal): Promise<void> {
    await this.#write(`event: ${name}\ndata: ${json}\n\n`, signal)
  }

  end(): void {
    if (!this.#raw.writableEnded) this.#raw.end()
  }

  async #write(frame: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#raw.write(frame)) return
    const waiting = new AbortController()
    const stop = AbortSignal.any([signal, waiting.signal])
    const stalled = this.#clock.sleep(this.#options.stalledReaderMs, stop).then(
      () => this.#raw.destroy(),
      () => undefined,
    )
    try {
      await Promise.race([once(this.#raw, 'drain', { signal: stop }), stalled])
      signal.throwIfAborted()
    } finally {
      waiting.abort()
    }
  }
}
