/**
 * The best 16 of many peers: the native kernel and its TypeScript reference against what one writes first, a SHA-256 a peer and a
 * sort of all. Interleaved in one run; all weights are 1, since that is all that SHA-256 gives, but for the last figures.
 */
import { hash } from 'node:crypto'
import { concatBytes } from '../core/codec/bytes.ts'
import { type Kernel, loadKernel } from '../native/load.ts'
import { type PackedPeers, PEER_KEY_BYTES, type RendezvousTop } from '../native/reference.ts'
import { type Figure, median, type Result } from './report.ts'

const COUNTS = [100, 1_000, 10_000, 100_000]
const LARGEST = 100_000
const TOP = 16
const WEIGHT_MAX = 64
/** Runs that are thrown away: the compiler of the TypeScript paths needs some. */
const WARM_UPS = 3
const DRAW_KEY = bytesOf('draw key', 16)

type Way = { readonly name: string; readonly run: (peers: PackedPeers) => number }

export async function rendezvous(runs: number): Promise<Result> {
  const ways = waysOf()
  const plain = COUNTS.flatMap((count) => measure(ways, count, 1, runs))
  const weighted = measure(ways.slice(0, -1), LARGEST, WEIGHT_MAX, runs)
  const at = (name: string) => plain.find((figure) => figure.name === nameOf(name, LARGEST, 1))?.values ?? []
  const sha256 = median(at('sha256 and sort'))
  return {
    bench: 'rendezvous',
    figures: [...plain, ...weighted],
    ratios: ways.slice(0, -1).map(({ name }) => ({
      name: `${name} / sha256, ${LARGEST} peers`,
      value: median(at(name)) / sha256,
    })),
  }
}

/** @throws when the kernel is not built: a benchmark must not call the reference native */
function waysOf(): readonly Way[] {
  const wayOf = (name: string, kernel: Kernel): Way => {
    const loaded = loadKernel({ kernel, announce: (line) => console.log(line) })
    if (loaded.kernel !== kernel) throw new Error(`the kernel ${kernel} cannot be measured here`)
    return { name, run: runOf(loaded.rendezvousTop) }
  }
  return [
    wayOf('native avx2', 'avx2'),
    wayOf('native scalar', 'scalar'),
    wayOf('TypeScript reference', 'reference'),
    { name: 'sha256 and sort', run: runOf(sha256Top) },
  ]
}

function runOf(top: RendezvousTop): (peers: PackedPeers) => number {
  return (peers) => {
    const startMs = performance.now()
    const { indexes } = top(DRAW_KEY, peers, TOP)
    const endMs = performance.now()
    if (indexes.length !== TOP) throw new Error('the draw is not complete')
    return endMs - startMs
  }
}

/** The whole digest decides, as text; texts of one length compare as their bytes do. */
const sha256Top: RendezvousTop = (drawKey, { keys, weights }, count) => {
  const keyAt = (index: number) => keys.subarray(index * PEER_KEY_BYTES, (index + 1) * PEER_KEY_BYTES)
  const scored = Array.from(weights, (_, index) => ({
    index,
    score: hash('sha256', concatBytes(drawKey, keyAt(index)), 'hex'),
  }))
  scored.sort((a, b) => (a.score < b.score ? 1 : -1))
  const best = scored.slice(0, count)
  return {
    indexes: Uint32Array.from(best, ({ index }) => index),
    scores: BigUint64Array.from(best, ({ score }) => BigInt(`0x${score.slice(0, 16)}`)),
  }
}

function measure(ways: readonly Way[], count: number, weightMax: number, runs: number): readonly Figure[] {
  const keys = bytesOf(`${count} keys`, count * PEER_KEY_BYTES)
  const weights = bytesOf('weights', count).map((byte) => 1 + (byte % weightMax))
  const values = new Map<Way, number[]>(ways.map((way) => [way, []]))
  for (let run = -WARM_UPS; run < runs; run += 1)
    for (const [way, times] of values) {
      const elapsedMs = way.run({ keys, weights })
      if (run >= 0) times.push(elapsedMs)
    }
  return ways.map((way) => ({
    name: nameOf(way.name, count, weightMax),
    unit: 'ms',
    values: values.get(way) ?? [],
  }))
}

function nameOf(way: string, count: number, weightMax: number): string {
  return `${count} peers${weightMax > 1 ? ` of 1 to ${weightMax}` : ''}, ${way}`
}

/** Bytes that look random and are the same in every run. */
function bytesOf(name: string, byteCount: number): Uint8Array {
  return new Uint8Array(hash('shake128', name, { outputEncoding: 'buffer', outputLength: byteCount }))
}
