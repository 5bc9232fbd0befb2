/** Broken bytes for the transport between machines: at the frame parser, and over a real TLS session. */
import type { ClientHttp2Session } from 'node:http2'
import { FrameParser, framed, grantWord, WireFault, windowHead } from '../../node/mesh/tls/frame-parser.ts'
import { answerOf, type RawAnswer, rawRequest } from '../support/mesh-raw.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

/** The beginning of a stream as a well-behaved caller writes it: window, body, a few frames and grants. */
function goodStream(random: SeededRandom): Uint8Array {
  const parts = [windowHead(1 + random.below(64), 1 + random.below(1_000_000)), framed(random.bytes(random.below(64)))]
  for (let count = random.below(6); count > 0; count -= 1)
    parts.push(random.below(3) === 0 ? grantWord(1 + random.below(4)) : framed(random.bytes(random.below(200))))
  return Buffer.concat(parts)
}

/** Flips, cuts, repeats or replaces some of it. */
function broken(bytes: Uint8Array, random: SeededRandom): Uint8Array {
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

type ParserRun = { readonly faults: number; readonly frames: number; readonly bytesMax: number }

/** Feeds one stream in pieces of any size. @throws anything but a WireFault: a finding */
function parse(bytes: Uint8Array, random: SeededRandom, frameBytesMax: number): ParserRun {
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

export type FramesReport = {
  readonly streams: number
  readonly frames: number
  readonly refused: number
  readonly ms: number
  readonly faults: readonly string[]
}

const FRAME_BYTES_MAX = 1_000
const FAULTS_MAX = 20

/** Broken streams at the parser. A fault is anything but frames within their bound and refusals with a reason. */
export function fuzzFrames(streams: number, random: SeededRandom): FramesReport {
  const faults: string[] = []
  let [frames, refused] = [0, 0]
  const begunMs = performance.now()
  for (let count = 0; count < streams; count += 1) {
    const bytes = broken(goodStream(random), random)
    try {
      const run = parse(bytes, random, FRAME_BYTES_MAX)
      frames += run.frames
      refused += run.faults
      if (run.bytesMax > FRAME_BYTES_MAX) throw new Error(`a frame of ${run.bytesMax} bytes`)
    } catch (error) {
      if (faults.length < FAULTS_MAX) faults.push(`${String(error)} for ${Buffer.from(bytes).toString('hex')}`)
    }
  }
  return { streams, frames, refused, ms: Math.round(performance.now() - begunMs), faults }
}

/** Sends one broken stream or request of a type and lets go of it in one of several ways. @returns how it was answered */
export async function shoot(session: ClientHttp2Session, type: string, random: SeededRandom): Promise<RawAnswer> {
  const bytes = broken(goodStream(random), random)
  const isStream = random.below(3) > 0
  const length = isStream || random.below(4) === 0 ? {} : { 'content-length': bytes.length }
  const stream = rawRequest(session, `/mesh/v1/${isStream ? 'stream' : 'call'}/${type}`, length)
  stream.resume()
  const answer = answerOf(stream)
  stream.write(bytes)
  if (random.below(4) === 0) stream.close(random.below(14))
  else stream.end()
  const answered = await answer
  if (random.below(8) === 0) stream.close()
  return answered
}
