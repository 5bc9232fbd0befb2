/** One direction of a stream: bounded, in order, with back-pressure on the writer. */
import { FabricError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'

type Reader = {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void
  readonly reject: (error: unknown) => void
}

export type FrameQueueOptions = {
  readonly frameCountMax: number
  readonly frameBytesMax: number
  /** Resolves when a frame handed to the network now has arrived. */
  readonly carry: () => Promise<void>
}

export class FrameQueue {
  readonly #options: FrameQueueOptions
  readonly #arrived: Uint8Array[] = []
  #writers: (() => void)[] = []
  #reader: Reader | undefined
  /** Frames sent and not yet read, those on their way included. */
  #heldCount = 0
  #arrivals: Promise<void> = Promise.resolve()
  #writable: 'open' | 'ended' | 'discarding' = 'open'
  #writerError: unknown
  #broken = false
  /** What the reader gets after the last frame. */
  #end: { readonly error: unknown } | undefined

  constructor(options: FrameQueueOptions) {
    this.#options = options
  }

  /** @throws CF_MESH_STREAM_BROKEN after the end, CF_MESH_REFUSED for a frame over the bound, the breaking error when broken */
  async push(frame: Uint8Array): Promise<void> {
    const { frameBytesMax, frameCountMax } = this.#options
    if (frame.length > frameBytesMax)
      throw new FabricError('CF_MESH_REFUSED', { reason: 'frame_too_large', bytes: frame.length })
    const copy = frame.slice()
    if (this.#closedToWriter()) return
    if (this.#heldCount < frameCountMax) this.#heldCount += 1
    else {
      // Senders that do not wait for their turn are a queue without a bound.
      if (this.#writers.length >= frameCountMax)
        throw new FabricError('CF_MESH_REFUSED', { reason: 'sends_not_awaited' })
      // Whoever wakes this writer hands over the freed place, so the count stays as it is.
      await new Promise<void>((resolve) => this.#writers.push(resolve))
      if (this.#closedToWriter()) return
    }
    this.#arrivals = this.#arrivals.then(this.#options.carry).then(() => this.#arrive(copy))
  }

  /** Ends this direction behind the frames sent so far. @param error  absent: a normal end */
  finish(error?: FabricError): void {
    if (this.#writable !== 'open' || this.#broken) return
    this.#writable = 'ended'
    this.#arrivals = this.#arrivals.then(this.#options.carry).then(() => this.#finishReading({ error }))
  }

  /** Stops both ends at once; frames not yet read are lost. */
  break(readerError: unknown, writerError: unknown): void {
    if (this.#broken) return
    this.#broken = true
    this.#writerError = writerError
    this.#drop()
    if (this.#end === undefined) this.#finishReading({ error: readerError })
  }

  /** Nobody will read any more: what is sent is dropped instead of blocking its writer. */
  discard(): void {
    if (this.#writable === 'open') this.#writable = 'discarding'
    this.#drop()
    this.#finishReading({ error: undefined })
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    invariant(this.#reader === undefined, 'one reader at a time')
    const frame = this.#arrived.shift()
    if (frame !== undefined) {
      this.#release()
      return Promise.resolve({ done: false, value: frame })
    }
    if (this.#end !== undefined) return endOf(this.#end)
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  /** @returns true when what is written now is dropped */
  #closedToWriter(): boolean {
    if (this.#broken) throw this.#writerError
    if (this.#writable === 'ended') throw new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'sent_after_end' })
    return this.#writable === 'discarding'
  }

  #arrive(frame: Uint8Array): void {
    if (this.#broken || this.#writable === 'discarding') return
    const reader = this.#reader
    if (reader === undefined) {
      this.#arrived.push(frame)
      return
    }
    this.#reader = undefined
    this.#release()
    reader.resolve({ done: false, value: frame })
  }

  #finishReading(end: { readonly error: unknown }): void {
    this.#end ??= end
    const reader = this.#reader
    this.#reader = undefined
    if (reader === undefined) return
    endOf(this.#end).then(reader.resolve, reader.reject)
  }

  #release(): void {
    const writer = this.#writers.shift()
    if (writer === undefined) this.#heldCount -= 1
    else writer()
  }

  #drop(): void {
    this.#arrived.length = 0
    this.#heldCount = 0
    const writers = this.#writers
    this.#writers = []
    for (const writer of writers) writer()
  }
}

function endOf(end: { readonly error: unknown }): Promise<IteratorResult<Uint8Array, undefined>> {
  return end.error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(end.error)
}
