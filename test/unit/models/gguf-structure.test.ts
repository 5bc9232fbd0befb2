import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ggufFault } from '../../../models/gguf-structure.ts'
import { TINY_LOAD } from '../../support/host.ts'
import { seededRandom, testSeed } from '../../support/seeded-random.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { within } from '../../support/within.ts'

const WHOLE = readFileSync(TINY_LOAD.path)
const HEADER = WHOLE.subarray(0, WHOLE.indexOf('token_embd.weight') - 8)
const FIRST_KEY_AT = 24
const TENSOR = 'output_norm.weight'
const folder = tempFolder()

async function faultOf(bytes: Uint8Array): Promise<string | undefined> {
  const path = join(folder, 'model.gguf')
  writeFileSync(path, bytes)
  return ggufFault(path)
}

function patched(patch: (bytes: Buffer) => void): Uint8Array {
  const bytes = Buffer.from(WHOLE)
  patch(bytes)
  return bytes
}

test('a whole file is sound, whatever its tensors hold', async () => {
  assert.is(await faultOf(WHOLE), undefined)
  assert.is(await faultOf(patched((bytes) => bytes.fill(0xff, 60_000))), undefined)
})

test(
  'a file that is cut within its header is not, at any length',
  within(60_000, async () => {
    const random = seededRandom(testSeed())
    const lengths = [0, 1, 3, 4, 7, 8, 23, 24, 31, HEADER.length]
    for (let count = 0; count < 150; count++) lengths.push(random.below(HEADER.length))
    for (const length of lengths) assert.is(await faultOf(WHOLE.subarray(0, length)), 'header_invalid', `${length}`)
  }),
)

test('what is something else says so', async () => {
  assert.is(await faultOf(Buffer.from('<html>not found</html>')), 'not_gguf')
  assert.is(await faultOf(patched((bytes) => bytes.writeUInt32LE(9, 4))), 'version_unknown')
})

test('counts and lengths that reach behind the end are found at once', async () => {
  const huge = [2n ** 21n + 2n ** 20n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n]
  const dimensionsAt = WHOLE.indexOf(TENSOR) + TENSOR.length
  const lists = ['tokenizer.ggml.tokens', 'tokenizer.ggml.scores', 'tokenizer.ggml.merges', 'tokenizer.ggml.token_type']
  const listAt = lists.map((name) => WHOLE.indexOf(name) + name.length + 8).filter((at) => at > 100)
  const places = [8, 16, FIRST_KEY_AT, ...listAt]
  for (const at of places)
    for (const count of huge)
      assert.is(
        await faultOf(patched((bytes) => bytes.writeBigUInt64LE(count, at))),
        'header_invalid',
        `${count} at ${at}`,
      )
  assert.is(await faultOf(patched((bytes) => bytes.writeUInt32LE(0xffff_ffff, dimensionsAt))), 'header_invalid')
  assert.is(await faultOf(patched((bytes) => bytes.writeUInt32LE(5, dimensionsAt))), 'header_invalid')
})

test('a type that there is not, and a list of lists, are not', async () => {
  const name = 'tokenizer.ggml.tokens'
  const typeAt = WHOLE.indexOf(name) + name.length
  assert.is(await faultOf(patched((bytes) => bytes.writeUInt32LE(13, typeAt))), 'header_invalid')
  assert.is(await faultOf(patched((bytes) => bytes.writeUInt32LE(9, typeAt + 4))), 'header_invalid')
})

/** A header of so many fields, each a list of so many bytes. */
function listsOf(fieldCount: number, itemCount: number, tensorCount = 0): Buffer {
  const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer)
  const u64 = (value: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer)
  const field = Buffer.concat([u64(1), Buffer.from('a'), u32(9), u32(0), u64(itemCount), Buffer.alloc(itemCount)])
  const tensor = Buffer.concat([u64(1), Buffer.from('t'), u32(1), u64(1), u32(0), u64(0)])
  return Buffer.concat([
    ...[Buffer.from('GGUF'), u32(3), u64(tensorCount), u64(fieldCount)],
    ...Array.from({ length: fieldCount }, () => field),
    ...Array.from({ length: tensorCount }, () => tensor),
  ])
}

test('a header whose lists, fields or tensors are too many together is refused, though each is sound', async () => {
  assert.is(await faultOf(listsOf(2, 4_194_304)), undefined)
  assert.is(await faultOf(listsOf(3, 4_194_304)), 'header_invalid')
  assert.is(await faultOf(listsOf(16_384, 1)), undefined)
  assert.is(await faultOf(listsOf(16_385, 1)), 'header_invalid')
  assert.is(await faultOf(listsOf(1, 1, 65_536)), undefined)
  assert.is(await faultOf(listsOf(1, 1, 65_537)), 'header_invalid')
})

test.run()
