/**
 * Cuts one direction of a stream into its items: first the reader's window (frames, then bytes, each u32be), then in any order
 * frames (`u32be length || bytes`) and grants (a u32be with its top bit set: so many frames of the other direction were read). A
 * grant of none is the end, and one more frame behind it says why: nothing for a normal end.
 */

import { Growing } from './growing.ts'
import type { MeshReject } from './options.ts'

export type FrameSink = {
  window(frameCount: number, byteCount: number): void
  grant(frameCount: number): void
  frame(frame: Uint8Array): void
  end(why: Uint8Array): void
  /** Before the bytes of a frame are kept. @throws WireFault when there is no room for them */
  claim(byteCount: number): void
}

/** What the other side may not do; the connection's owner turns it into a refusal and a penalty. */
export class WireFault extends Error {
  override readonly name = 'WireFault'
  readonly reason: MeshReject

  constructor(reason: MeshReject) {
    super(reason)
    this.reason = reason
  }
}

const WORD_BYTES = 4
const TOP_BIT = 0x80000000
const END_WORD = TOP_BIT
/** A code or a reason of our tables. */
const WHY_BYTES_MAX = 64

export class FrameParser {
  readonly #sink: FrameSink
  readonly #frameBytesMax: number
  readonly #window: number[] = []
  #word = 0
  #wordBytes = 0
  /** The frame under way. */
  #frame: Growing | undefined
  #state: 'open' | 'ending' | 'ended' = 'open'

  constructor(frameBytesMax: number, sink: FrameSink) {
    this.#frameBytesMax = frameBytesMax
    this.#sink = sink
  }

  /** @throws WireFault when the bytes are no stream of ours; the parser is useless then */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; )
      at += this.#frame === undefined ? this.#head(chunk, at) : this.#body(this.#frame, chunk, at)
  }

  /** @returns how many bytes were used */
  #head(chunk: Uint8Array, at: number): number {
    this.#word = ((this.#word << 8) | (chunk[at] ?? 0)) >>> 0
    this.#wordBytes += 1
    if (this.#wordBytes === WORD_BYTES) {
      const word = this.#word
      this.#word = 0
      this.#wordBytes = 0
      this.#item(word)
    }
    return 1
  }

  #item(word: number): void {
    if (this.#window.length < 2) this.#windowWord(word)
    else if (word > END_WORD && this.#state !== 'ending') this.#sink.grant(word - TOP_BIT)
    // Behind the end there are only grants, for what still comes the other way.
    else if (this.#state === 'ended') throw new WireFault('protocol')
    else if (word < TOP_BIT) this.#frameHead(word)
    else if (this.#state === 'ending') throw new WireFault('protocol')
    else this.#state = 'ending'
  }

  #windowWord(word: number): void {
    if (word === 0 || word >= TOP_BIT) throw new WireFault('protocol')
    this.#window.push(word)
    const [frameCount, byteCount] = this.#window
    if (frameCount !== undefined && byteCount !== undefined) this.#sink.window(frameCount, byteCount)
  }

  #frameHead(byteCount: number): void {
    const bytesMax = this.#state === 'ending' ? WHY_BYTES_MAX : this.#frameBytesMax
    if (byteCount > bytesMax) throw new WireFault('frame_too_large')
    this.#frame = new Growing(byteCount)
    if (byteCount === 0) this.#whole(this.#frame)
  }

  #body(frame: Growing, chunk: Uint8Array, at: number): number {
    const byteCount = Math.min(frame.missing, chunk.length - at)
    this.#sink.claim(byteCount)
    frame.push(chunk.subarray(at, at + byteCount))
    if (frame.missing === 0) this.#whole(frame)
    return byteCount
  }

  #whole(frame: Growing): void {
    this.#frame = undefined
    if (this.#state === 'open') {
      this.#sink.frame(frame.bytes())
      return
    }
    this.#state = 'ended'
    this.#sink.end(frame.bytes())
  }
}

export function windowHead(frameCount: number, byteCount: number): Uint8Array {
  return words(frameCount, byteCount)
}

export function grantWord(frameCount: number): Uint8Array {
  return words((TOP_BIT + frameCount) >>> 0)
}

/** @param why  empty for a normal end */
export function endItem(why: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 * WORD_BYTES + why.length)
  bytes.set(words(END_WORD, why.length))
  bytes.set(why, 2 * WORD_BYTES)
  return bytes
}

/** A frame with its head, copied. */
export function framed(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(WORD_BYTES + frame.length)
  bytes.set(words(frame.length))
  bytes.set(frame, WORD_BYTES)
  return bytes
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(WORD_BYTES * values.length)
  const view = new DataView(bytes.buffer)
  for (const [place, value] of values.entries()) view.setUint32(place * WORD_BYTES, value)
  return bytes
}
