/**
 * Do the parts of a GGUF file's header lie where its counts and lengths say, within the file?
 *
 * Why before any reader: node-llama-cpp's reads zeros behind the end of a file, for ever where a damaged count says so, and takes as
 * much memory as a damaged length says.
 *
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type FileHandle, open } from 'node:fs/promises'

/** `GGUF` */
const MAGIC = 0x4655_4747
const VERSIONS: readonly number[] = [2, 3]
/** Of one value, by the number of its type; strings and arrays are apart. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const STRING = 8
const ARRAY = 9
/** llama.cpp's own. */
const DIMENSIONS_MAX = 4
/** A vocabulary of 262,144 tokens with its merges takes some twenty million bytes, in lists of less than a million. */
const HEADER_BYTES_MAX = 134_217_728
/** Of all lists: a reader makes values of them that are many times as large. */
const ITEMS_MAX = 8_388_608
const FIELDS_MAX = 16_384
/** Every expert of every layer apart would be fewer. */
const TENSORS_MAX = 65_536
const WINDOW_BYTES = 1_048_576

export type GgufFault = 'not_gguf' | 'version_unknown' | 'header_invalid'

class Unsound extends Error {
  readonly fault: GgufFault

  constructor(fault: GgufFault = 'header_invalid') {
    super(fault)
    this.fault = fault
  }
}

/** Reads forward through the beginning of a file. */
class Cursor {
  readonly #file: FileHandle
  readonly #end: number
  #window = Buffer.alloc(0)
  #windowAt = 0
  #at = 0
  #itemsLeft = ITEMS_MAX

  constructor(file: FileHandle, end: number) {
    this.#file = file
    this.#end = end
  }

  /** Waits only when the window must move: most of a header is hundreds of thousands of short strings. */
  async count(): Promise<number> {
    const from = this.#has(8) ? this.#at : await this.#move(8)
    const value = this.#window.readBigUInt64LE(from - this.#windowAt)
    this.#at += 8
    if (value > BigInt(this.#end)) throw new Unsound()
    return Number(value)
  }

  async word(): Promise<number> {
    const from = this.#has(4) ? this.#at : await this.#move(4)
    this.#at += 4
    return this.#window.readUInt32LE(from - this.#windowAt)
  }

  takeItems(count: number): void {
    this.#itemsLeft -= count
    if (this.#itemsLeft < 0) throw new Unsound()
  }

  skip(bytes: number): void {
    this.#at += bytes
    if (this.#at > this.#end) throw new Unsound()
  }

  #has(bytes: number): boolean {
    return this.#at >= this.#windowAt && this.#at + bytes <= this.#windowAt + this.#window.length
  }

  async #move(bytes: number): Promise<number> {
    if (this.#at + bytes > this.#end) throw new Unsound()
    const length = Math.min(WINDOW_BYTES, this.#end - this.#at)
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(length), 0, length, this.#at)
    if (bytesRead < bytes) throw new Unsound()
    this.#window = buffer.subarray(0, bytesRead)
    this.#windowAt = this.#at
    return this.#at
  }
}

/** @returns undefined where all is in its place. @throws when the file cannot be read */
export async function ggufFault(path: string): Promise<GgufFault | undefined> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    await walk(new Cursor(file, Math.min(size, HEADER_BYTES_MAX)))
    return undefined
  } catch (error) {
    if (error instanceof Unsound) return error.fault
    throw error
  } finally {
    await file.close()
  }
}

async function walk(cursor: Cursor): Promise<void> {
  if ((await cursor.word()) !== MAGIC) throw new Unsound('not_gguf')
  if (!VERSIONS.includes(await cursor.word())) throw new Unsound('version_unknown')
  const [tensorCount, fieldCount] = [await cursor.count(), await cursor.count()]
  if (tensorCount > TENSORS_MAX || fieldCount > FIELDS_MAX) throw new Unsound()
  for (let index = 0; index < fieldCount; index++) await passField(cursor)
  for (let index = 0; index < tensorCount; index++) await passTensor(cursor)
}

async function passField(cursor: Cursor): Promise<void> {
  cursor.skip(await cursor.count())
  const type = await cursor.word()
  if (type === STRING) cursor.skip(await cursor.count())
  else if (type === ARRAY) await passList(cursor)
  else cursor.skip(bytesOf(type))
}

async function passList(cursor: Cursor): Promise<void> {
  const type = await cursor.word()
  const count = await cursor.count()
  cursor.takeItems(count)
  if (type !== STRING) return cursor.skip(count * bytesOf(type))
  for (let index = 0; index < count; index++) cursor.skip(await cursor.count())
}

async function passTensor(cursor: Cursor): Promise<void> {
  cursor.skip(await cursor.count())
  const dimensionCount = await cursor.word()
  if (dimensionCount > DIMENSIONS_MAX) throw new Unsound()
  // Its sizes, type and offset.
  cursor.skip(dimensionCount * 8 + 4 + 8)
}

/** Lists of lists are refused by llama.cpp too. */
function bytesOf(type: number): number {
  const bytes = VALUE_BYTES[type] ?? 0
  if (bytes === 0) throw new Unsound()
  return bytes
}
