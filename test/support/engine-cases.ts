/** Asks the engine's C++ tests for answers: cases in a file, answers in another (native/engine/test/sampling_cases_test.cc). */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import * as assert from 'uvu/assert'

const ROOT = path.join(import.meta.dirname, '..', '..')
const BUILD_MS = 280_000
const RUN_MS = 120_000

export class CaseWriter {
  #data = Buffer.alloc(1 << 16)
  #at = 0

  /** @returns where the next `bytes` bytes belong */
  #take(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    if (this.#at > this.#data.length) this.#data = Buffer.concat([this.#data], 2 * this.#at)
    return at
  }

  /** @param letter  which case it is */
  begin(letter: string): this {
    return this.bytes(Buffer.from(letter))
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#take(bytes.length)
    this.#data.set(bytes, at)
    return this
  }

  whole(value: number): this {
    const at = this.#take(4)
    this.#data.writeUInt32LE(value, at)
    return this
  }

  single(value: number): this {
    const at = this.#take(4)
    this.#data.writeFloatLE(value, at)
    return this
  }

  double(value: number): this {
    const at = this.#take(8)
    this.#data.writeDoubleLE(value, at)
    return this
  }

  texts(texts: readonly (string | Uint8Array)[]): this {
    this.whole(texts.length)
    for (const text of texts) {
      const bytes = Buffer.from(text)
      this.whole(bytes.length).bytes(bytes)
    }
    return this
  }

  get data(): Uint8Array {
    return this.#data.subarray(0, this.#at)
  }
}

export class AnswerReader {
  readonly #data: Buffer
  #at = 0

  constructor(data: Buffer) {
    this.#data = data
  }

  get isAtEnd(): boolean {
    return this.#at === this.#data.length
  }

  #advance(bytes: number): number {
    this.#at += bytes
    return this.#at - bytes
  }

  byte(): number {
    return this.#data.readUInt8(this.#advance(1))
  }

  bytes(count: number): Uint8Array {
    return this.#data.subarray(this.#advance(count), this.#at)
  }

  whole(): number {
    return this.#data.readInt32LE(this.#advance(4))
  }

  single(): number {
    return this.#data.readFloatLE(this.#advance(4))
  }

  double(): number {
    return this.#data.readDoubleLE(this.#advance(8))
  }

  /** Of exact UTF-8. */
  text(): string {
    const bytes = this.bytes(this.whole())
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  }
}

/** The script's last line, which says where things are. */
function parseBuilt(line: string): string {
  const { binary }: { readonly binary: string } = JSON.parse(line)
  return binary
}

/** @returns the program that answers, or undefined with the reason printed where this machine cannot build it */
export function buildAnswerer(): string | undefined {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(ROOT, 'scripts', 'engine-test.mjs'), '--only=sampling_cases', '--build'],
    { encoding: 'utf8', timeout: BUILD_MS },
  )
  if (status === 0) return parseBuilt(stdout.trimEnd().split('\n').at(-1) ?? '')
  assert.not.match(stderr, 'the build failed')
  console.log(`skipped: ${stderr.trim()}`)
  return undefined
}

/** Has all cases answered in one run. */
export function answersTo(binary: string, cases: CaseWriter): AnswerReader {
  const folder = mkdtempSync(path.join(tmpdir(), 'cfab-cases-'))
  const [asked, answered] = [path.join(folder, 'cases'), path.join(folder, 'answers')]
  try {
    writeFileSync(asked, cases.data)
    const { status, stdout } = spawnSync(binary, ['cases of a file are answered'], {
      encoding: 'utf8',
      env: { ...process.env, CFAB_TEST_CASES: asked, CFAB_TEST_ANSWERS: answered },
      timeout: RUN_MS,
    })
    assert.is(status, 0, stdout)
    return new AnswerReader(readFileSync(answered))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
