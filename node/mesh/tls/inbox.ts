/** The reading half of a stream: holds at most a window of frames, and says when it has room again. */
import { invariant } from '../../../core/invariant.ts'
import { WireFault } from './frame-parser.ts'

type Result = IteratorResult<Uint8Array, undefined>
type Reader = { readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void }

export type InboxOptions = {
  readonly frameCountMax: number
  readonly windowBytesMax: number
  /** Tells the sender that so many frames were read. */
  readonly grant: (frameCount: number) => void
  /** The bytes of a frame are no longer held here. */
  readonly release: (byteCount: number) => void
}

/** Grants are told in halves of the window: one for each frame would be more messages than frames. */
const PARTS = 2

export class Inbox {
  readonly #options: InboxOptions
  readonly #frames: Uint8Array[] = []
  #reader: Reader | undefined
  #end: { readonly error: unknown } | undefined
  /** Frames and bytes that came since the last grant: read or not, the sender counts them as unread. */
  #ungranted = { frameCount: 0, byteCount: 0 }
  #read = { frameCount: 0, byteCount: 0 }

  constructor(options: InboxOptions) {
    this.#options = options
  }

  /** @throws WireFault when the sender does not keep to the window */
  push(frame: Uint8Array): void {
    const { frameCountMax, windowBytesMax } = this.#options
    const { frameCount, byteCount } = this.#ungranted
    if (frameCount >= frameCountMax || byteCount >= windowBytesMax) throw new WireFault('window_exceeded')
    this.#ungranted = { frameCount: frameCount + 1, byteCount: byteCount + costOf(frame) }
    if (this.#end !== undefined) return
    const reader = this.#reader
    if (reader === undefined) {
      this.#frames.push(frame)
      return
    }
    this.#reader = undefined
    reader.resolve(this.#take(frame))
  }

  next(): Promise<Result> {
    invariant(this.#reader === undefined, 'one reader at a time')
    const frame = this.#frames.shift()
    if (frame !== undefined) return Promise.resolve(this.#take(frame))
    if (this.#end !== undefined) return endOf(this.#end)
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  /** No more frames: what has come is read first. @param error  absent: a normal end */
  finish(error?: unknown): void {
    if (this.#end !== undefined) return
    this.#end = { error }
    const reader = this.#reader
    this.#reader = undefined
    if (reader !== undefined) endOf(this.#end).then(reader.resolve, reader.reject)
  }

  /** The reader gets the error at once; frames not yet read are lost. */
  break(error: unknown): void {
    for (const frame of this.#frames.splice(0)) this.#options.release(frame.length)
    this.finish(error)
  }

  #take(frame: Uint8Array): Result {
    const { frameCountMax, windowBytesMax, grant, release } = this.#options
    release(frame.length)
    this.#read.frameCount += 1
    this.#read.byteCount += costOf(frame)
    const { frameCount, byteCount } = this.#read
    if (frameCount * PARTS >= frameCountMax || byteCount * PARTS >= windowBytesMax) {
      this.#ungranted.frameCount -= frameCount
      this.#ungranted.byteCount -= byteCount
      this.#read = { frameCount: 0, byteCount: 0 }
      grant(frameCount)
    }
    return { done: false, value: frame }
  }
}

/** As the sender counts it: with its head. */
function costOf(frame: Uint8Array): number {
  return frame.length + 4
}

function endOf(end: { readonly error: unknown }): Promise<Result> {
  return end.error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(end.error)
}
