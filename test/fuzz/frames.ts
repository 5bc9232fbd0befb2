/** Broken bytes for the transport between machines: at the frame parser, and over a real TLS session. */
import { FrameParser, framed, grantWord, WireFault, windowHead } from '../../node/mesh/tls/frame-parser.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

/** The beginning of a stream as a well-behaved caller writes it: window, body, a few frames and grants. */
export function goodStream(random: SeededRandom): Uint8Array {
  const parts = [windowHead(1 + random.below(64), 1 + random.below(1_000_000)), framed(random.bytes(random.below(64)))]
  for (let count = random.below(6); count > 0; count -= 1)
    parts.push(random.below(3) === 0 ? grantWord(1 + random.below(4)) : framed(random.bytes(random.below(200))))
  return Buffer.concat(parts)
}

/** Flips, cuts, repeats or replaces some of it. */
export function broken(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const at = random.below(copy.length)
  switch (random.below(5)) {
    case 0:
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
      return copy
    case 1:
      return copy.slice(0, at)
    case 2:
      return Buffer.concat([copy.slice(at), copy])
    case 3:
      return random.bytes(1 + random.below(400))
    default:
      copy.set([0xff, 0xff, 0xff, 0xff].slice(0, Math.min(4, copy.length - at)), at)
      return copy
  }
}

export type ParserRun = { readonly faults: number; readonly frames: number; readonly bytesMax: number }

/** Feeds one stream in pieces of any size. @throws anything but a WireFault: a finding */
export function parse(bytes: Uint8Array, random: SeededRandom, frameBytesMax: number): ParserRun {
  let [frames, faults, bytesMax] = [0, 0, 0]
  const parser = new FrameParser(frameBytesMax, {
    window: () => {},
    grant: () => {},
    frame: (frame) => {
      frames += 1
      bytesMax = Math.max(bytesMax, frame.length)
    },
    end: () => {},
    claim: () => {},
  })
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random.below(97)
      parser.push(bytes.subarray(at, at + size))
      at += size
    }
  } catch (error) {
    if (!(error instanceof WireFault)) throw error
    faults += 1
  }
  return { faults, frames, bytesMax }
}
