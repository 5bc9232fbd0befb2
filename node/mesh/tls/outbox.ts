/** The sending half of a stream: frames go out in order while the other side has room, and wait in a bounded line when it has none. */
import { FabricError } from '../../../core/errors.ts'
import { framed, WireFault } from './frame-parser.ts'

type Waiting = {
  readonly bytes: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export type OutboxOptions = {
  readonly frameCountMax: number
  readonly frameBytesMax: number
  readonly write: (bytes: Uint8Array) => void
  /** False while what was written before has not left this process. */
  readonly isDrained: () => boolean
  readonly finish: (why: Uint8Array) => void
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #waiting: Waiting[] = []
  /** Sizes of the frames that the other side has not said to have read. */
  readonly #unread: number[] = []
  #unreadBytes = 0
  #window = { frameCount: 0, byteCount: 0 }
  #state: 'open' | 'ended' | 'discarding' | 'broken' = 'open'
  #error: unknown

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** @throws CF_MESH_STREAM_BROKEN after the end, CF_MESH_REFUSED for a frame over the bound, the breaking error when broken */
  async push(frame: Uint8Array): Promise<void> {
    const { frameBytesMax, frameCountMax } = this.#options
    if (frame.length > frameBytesMax)
      throw new FabricError('CF_MESH_REFUSED', { reason: 'frame_too_large', bytes: frame.length })
    if (this.#state === 'broken') throw this.#error
    if (this.#state === 'ended') throw sentAfterEnd()
    if (this.#state === 'discarding') return
    const bytes = framed(frame)
    if (this.#waiting.length === 0 && this.#hasRoom()) {
      this.#write(bytes)
      return
    }
    // Senders that do not wait for their turn are a queue without a bound.
    if (this.#waiting.length >= frameCountMax) throw new FabricError('CF_MESH_REFUSED', { reason: 'sends_not_awaited' })
    await new Promise<void>((resolve, reject) => this.#waiting.push({ bytes, resolve, reject }))
  }

  open(frameCount: number, byteCount: number): void {
    this.#window = { frameCount: Math.min(frameCount, this.#options.frameCountMax), byteCount }
    this.pump()
  }

  /** @throws WireFault for more than was sent */
  granted(frameCount: number): void {
    if (frameCount > this.#unread.length) throw new WireFault('window_exceeded')
    for (const size of this.#unread.splice(0, frameCount)) this.#unreadBytes -= size
    this.pump()
  }

  /** Sends what waits, as far as there is room. */
  pump(): void {
    while (this.#state === 'open' && this.#hasRoom()) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#write(next.bytes)
      next.resolve()
    }
  }

  /** @param why  behind the last frame; empty for a normal end */
  finish(why: Uint8Array): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    for (const { reject } of this.#waiting.splice(0)) reject(sentAfterEnd())
    this.#options.finish(why)
  }

  /** Nobody reads any more: what is sent is dropped instead of blocking its sender. */
  discard(): void {
    if (this.#state === 'open') this.#state = 'discarding'
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  break(error: unknown): void {
    if (this.#state === 'broken') return
    this.#state = 'broken'
    this.#error = error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #hasRoom(): boolean {
    const { frameCount, byteCount } = this.#window
    return this.#unread.length < frameCount && this.#unreadBytes < byteCount && this.#options.isDrained()
  }

  #write(bytes: Uint8Array): void {
    this.#unread.push(bytes.length)
    this.#unreadBytes += bytes.length
    this.#options.write(bytes)
  }
}

function sentAfterEnd(): FabricError {
  return new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'sent_after_end' })
}
