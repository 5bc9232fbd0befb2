/**
 * Copies of a GGUF file with other weights in it: stand-ins for quantisations and fine-tunes that are not at hand.
 *
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; blocks of q4_0 and q8_0 in ggml-common.h
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readGgufFileInfo } from 'node-llama-cpp'
import { seededRandom } from '../../support/seeded-random.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const BLOCK_WEIGHTS = 32
const SCALE_BYTES = 2
/** Bytes of one block by the number of its type. */
const Q4_0 = { type: 2, bytes: 18 } as const
const Q8_0 = { type: 8, bytes: 34 } as const

type Tensor = { readonly name: string; readonly shape: readonly number[]; readonly type: number; readonly at: number }

async function tensorsOf(path: string): Promise<readonly Tensor[]> {
  const { fullTensorInfo = [] } = await readGgufFileInfo(path, { logWarnings: false })
  return fullTensorInfo.map(({ name, dimensions, ggmlType, fileOffset }) => ({
    name,
    shape: dimensions.map(Number),
    type: ggmlType,
    at: Number(fileOffset),
  }))
}

async function changed(
  path: string,
  name: string,
  change: (bytes: Uint8Array, tensor: Tensor) => void,
): Promise<string> {
  const bytes = readFileSync(path)
  for (const tensor of await tensorsOf(path)) change(bytes, tensor)
  const copy = join(tempFolder(), name)
  writeFileSync(copy, bytes)
  return copy
}

const weightCount = ({ shape }: Tensor): number => shape.reduce((product, length) => product * length, 1)

/** Leaves the four bits of each q4_0 weight only `bits`, the others in the middle of what was cut off. */
export function coarserQ4(path: string, bits: 2 | 3): Promise<string> {
  const cut = 4 - bits
  const rounded = (nibble: number): number => ((nibble >> cut) << cut) | (1 << (cut - 1))
  return changed(path, `q4-as-q${bits}.gguf`, (file, tensor) => {
    if (tensor.type !== Q4_0.type) return
    const blocks = weightCount(tensor) / BLOCK_WEIGHTS
    for (let block = 0; block < blocks; block += 1) {
      const from = tensor.at + block * Q4_0.bytes + SCALE_BYTES
      for (let at = from; at < from + BLOCK_WEIGHTS / 2; at += 1) {
        const pair = file[at] ?? 0
        file[at] = (rounded(pair >> 4) << 4) | rounded(pair & 15)
      }
    }
  })
}

/** Leaves the eight bits of each q8_0 weight six. */
export function coarserQ8(path: string): Promise<string> {
  return changed(path, 'q8-as-q6.gguf', (file, tensor) => {
    if (tensor.type !== Q8_0.type) return
    eachWeight(file, tensor, (weight) => Math.round(weight / 4) * 4)
  })
}

const RANK = 4

/**
 * Adds a low-rank update to queries and values, as a merged LoRA does: random, of so much of each matrix's own size.
 *
 * @param share  root mean square of the update over that of the matrix
 */
export function mergedLora(path: string, share: number): Promise<string> {
  return changed(path, 'lora.gguf', (file, tensor) => {
    if (tensor.type !== Q8_0.type || !/attn_[qv]\.weight$/.test(tensor.name)) return
    const [columns = 0, rows = 0] = tensor.shape
    const random = seededRandom(tensor.at)
    const normal = (): number =>
      Array.from({ length: 12 }, () => random.below(1_000_000) / 1e6).reduce((a, b) => a + b) - 6
    const down = Array.from({ length: RANK * columns }, normal)
    const up = Array.from({ length: RANK * rows }, normal)
    let squares = 0
    eachWeight(file, tensor, (weight, _place, scale) => {
      squares += (weight * scale) ** 2
      return weight
    })
    const size = (share * Math.sqrt(squares / (rows * columns))) / Math.sqrt(RANK)
    eachWeight(file, tensor, (weight, place, scale) => {
      const [row, column] = [Math.floor(place / columns), place % columns]
      let update = 0
      for (let rank = 0; rank < RANK; rank += 1)
        update += (up[rank * rows + row] ?? 0) * (down[rank * columns + column] ?? 0)
      return scale === 0 ? weight : Math.round(weight + (size * update) / scale)
    })
  })
}

/** @param change  gets a weight in units of its block's scale, its place in the matrix and the scale */
function eachWeight(
  file: Uint8Array,
  tensor: Tensor,
  change: (weight: number, place: number, scale: number) => number,
): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  for (let place = 0; place < weightCount(tensor); place += 1) {
    const block = tensor.at + Math.floor(place / BLOCK_WEIGHTS) * Q8_0.bytes
    const at = block + SCALE_BYTES + (place % BLOCK_WEIGHTS)
    const weight = change(view.getInt8(at), place, halfFloat(view.getUint16(block, true)))
    view.setInt8(at, Math.max(-127, Math.min(127, weight)))
  }
}

/** IEEE 754 binary16. */
function halfFloat(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1_023]
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1_024) * 2 ** (exponent - 15)
  return bits & 0x8000 ? -size : size
}
