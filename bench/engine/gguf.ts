/** What a GGUF header is made of: fields written, and those of a vocabulary taken over byte for byte. */

/** `bytes`: key, type and value as the file has them. */
export type Field = { readonly key: string; readonly bytes: Buffer }

const U32 = 4
const F32 = 6
const TEXT = 8
const LIST = 9
/** Bytes of one value, by type; texts and lists say their own length. */
const SIZES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }
/** Magic, version and the count of tensors. */
const COUNT_AT = 16
const FIELDS_AT = 24

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

export function textField(key: string, value: string): Field {
  return { key, bytes: Buffer.concat([text(key), u32(TEXT), text(value)]) }
}

export function wholeField(key: string, value: number): Field {
  return { key, bytes: Buffer.concat([text(key), u32(U32), u32(value)]) }
}

export function floatField(key: string, value: number): Field {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return { key, bytes: Buffer.concat([text(key), u32(F32), bytes]) }
}

/** `types`: of each token, 1 where it is plain text. */
export type Vocabulary = { readonly fields: readonly Field[]; readonly types: Int32Array }

/** Takes what a file says about its tokens. @param file  a trusted file: nothing is checked */
export function vocabularyOf(file: Buffer): Vocabulary {
  const reader = new Reader(file, FIELDS_AT)
  const fields: Field[] = []
  let types = new Int32Array()
  for (let left = Number(file.readBigUInt64LE(COUNT_AT)); left > 0; left -= 1) {
    const start = reader.at
    const key = reader.text()
    const count = reader.skip(reader.whole32())
    if (key === 'tokenizer.ggml.token_type') types = wholes(file, reader.at - count * 4, count)
    if (key.startsWith('tokenizer.')) fields.push({ key, bytes: file.subarray(start, reader.at) })
  }
  return { fields, types }
}

function wholes(file: Buffer, at: number, count: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: count }, (_, place) => file.readInt32LE(at + place * 4))
}

class Reader {
  readonly #file: Buffer
  #at: number

  constructor(file: Buffer, at: number) {
    this.#file = file
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  whole32(): number {
    this.#at += 4
    return this.#file.readUInt32LE(this.#at - 4)
  }

  whole64(): number {
    this.#at += 8
    return Number(this.#file.readBigUInt64LE(this.#at - 8))
  }

  text(): string {
    const length = this.whole64()
    this.#at += length
    return this.#file.toString('utf8', this.#at - length, this.#at)
  }

  /** Goes past a value. @returns how many values it was */
  skip(type: number): number {
    const isList = type === LIST
    const element = isList ? this.whole32() : type
    const count = isList ? this.whole64() : 1
    if (element === TEXT) for (let left = count; left > 0; left -= 1) this.#skipText()
    else this.#at += count * (SIZES[element] ?? 0)
    return count
  }

  #skipText(): void {
    const length = this.whole64()
    this.#at += length
  }
}
