/** A model file on its way: what has arrived, its running sha256, and a small file beside it that says what it is a part of. */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, readFile } from 'node:fs/promises'
import { FabricError } from '../../core/errors.ts'
import { type FileKind, HEAD_BYTES, mayBe } from './file-kind.ts'
import { type Disk, onDisk, openOwn, removeFile, renameDurably, writeAtomically } from './files.ts'

/** What a part is of. A part whose facts are lost or of another source begins again. */
export type PartFacts = {
  /** sha256 of the address: the address itself may hold a secret. */
  readonly source: string
  /** Strong entity tag (RFC 9110, 8.8.3) of the whole file. */
  readonly etag?: string
  /** Of the whole file. */
  readonly bytes?: number
  /** sha256 of the whole file, lowercase hex, as somebody trusted states it. */
  readonly digest?: string
}

const READ_BYTES = 1_048_576
/** So much may be lost to a power failure when nothing but this machine's own memory says what the file should be. */
const SYNC_BYTES = 67_108_864

export class PartFile {
  readonly path: string
  readonly kind: FileKind
  readonly #file: FileHandle
  readonly #disk: Disk
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #facts: PartFacts
  #hash: Hash = createHash('sha256')
  #bytes = 0
  #syncedBytes = 0

  private constructor(path: string, kind: FileKind, file: FileHandle, disk: Disk, facts: PartFacts) {
    this.path = path
    this.kind = kind
    this.#file = file
    this.#disk = disk
    this.#facts = facts
  }

  /** Opens or creates a part. What is already there is read once, for its hash. */
  static async open(path: string, kind: FileKind, source: string, disk: Disk, signal: AbortSignal): Promise<PartFile> {
    return onDisk(path, async () => {
      const { syncedBytes, ...known } = (await readFacts(path)) ?? { source: '', syncedBytes: 0 }
      const facts = known.source === source ? known : { source }
      const part = new PartFile(path, kind, await openOwn(path), disk, facts)
      try {
        await part.#readBack(known.source === source ? syncedBytes : 0, signal)
        return part
      } catch (error) {
        await part.close()
        throw error
      }
    })
  }

  get facts(): PartFacts {
    return this.#facts
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @throws FabricError CF_MODEL_FORMAT_INVALID as soon as its first bytes are here and are not of its kind */
  checkKind(): void {
    if (!mayBe(this.kind, this.#head.subarray(0, Math.min(this.#bytes, HEAD_BYTES))))
      throw new FabricError('CF_MODEL_FORMAT_INVALID', { reason: `not_${this.kind}` })
  }

  /** @throws FabricError CF_MODEL_DISK_FULL, CF_MODEL_STORE_FAILED; what was written stays */
  async append(chunk: Uint8Array): Promise<void> {
    await onDisk(this.path, async () => {
      await this.#disk.write(this.#file, chunk, this.#bytes)
      this.#count(chunk)
      if (this.#bytes - this.#syncedBytes >= SYNC_BYTES) await this.#sync()
    })
  }

  /** Learns more about the whole file; kept on disk before the first byte that relies on it. */
  async learn(facts: Omit<PartFacts, 'source'>): Promise<void> {
    this.#facts = { ...this.#facts, ...facts }
    await onDisk(this.path, () => this.#writeFacts())
  }

  /** Begins again, as a part of what the facts say. */
  async restart(facts: Omit<PartFacts, 'source'>): Promise<void> {
    await onDisk(this.path, async () => {
      await this.#file.truncate(0)
      this.#hash = createHash('sha256')
      this.#bytes = 0
      this.#syncedBytes = 0
      this.#facts = { source: this.#facts.source, ...facts }
      await this.#writeFacts()
    })
  }

  /** @returns sha256 of what is here, lowercase hex */
  digest(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Flushes what is here, so that a later run can go on from it. */
  async keep(): Promise<void> {
    await onDisk(this.path, () => this.#sync())
  }

  /** Puts the whole file in its place. */
  async install(path: string): Promise<void> {
    await onDisk(this.path, async () => {
      await this.#file.sync()
      await this.close()
      await renameDurably(this.path, path)
      await removeFile(factsPath(this.path))
    })
  }

  async discard(): Promise<void> {
    await this.close()
    await discardPart(this.path)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /**
   * Reads what an earlier run has left.
   *
   * Why only what was flushed counts without a digest: after a power failure the rest may be zeros, and nothing else would notice.
   */
  async #readBack(syncedBytes: number, signal: AbortSignal): Promise<void> {
    const { size } = await this.#file.stat()
    const limit = this.#facts.digest === undefined ? Math.min(size, syncedBytes) : size
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    while (this.#bytes < limit) {
      signal.throwIfAborted()
      const wanted = Math.min(buffer.length, limit - this.#bytes)
      const { bytesRead } = await this.#file.read(buffer, 0, wanted, this.#bytes)
      if (bytesRead === 0) break
      this.#count(buffer.subarray(0, bytesRead))
    }
    this.#syncedBytes = Math.min(syncedBytes, this.#bytes)
    if (size > this.#bytes) await this.#file.truncate(this.#bytes)
  }

  #count(chunk: Uint8Array): void {
    if (this.#bytes < HEAD_BYTES) this.#head.set(chunk.subarray(0, HEAD_BYTES - this.#bytes), this.#bytes)
    this.#hash.update(chunk)
    this.#bytes += chunk.length
  }

  async #sync(): Promise<void> {
    await this.#file.datasync()
    this.#syncedBytes = this.#bytes
    await this.#writeFacts()
  }

  async #writeFacts(): Promise<void> {
    await writeAtomically(
      factsPath(this.path),
      `${JSON.stringify({ ...this.#facts, syncedBytes: this.#syncedBytes })}\n`,
    )
  }
}

/** @returns whether there was one */
export async function discardPart(path: string): Promise<boolean> {
  return onDisk(path, async () => {
    await removeFile(factsPath(path))
    return removeFile(path)
  })
}

/** How much of which model an earlier run has left. */
export async function readPart(path: string): Promise<PartFacts | undefined> {
  return readFacts(path)
}

function factsPath(path: string): string {
  return `${path}.json`
}

type KeptFacts = PartFacts & { readonly syncedBytes: number }

async function readFacts(path: string): Promise<KeptFacts | undefined> {
  try {
    return parseFacts(JSON.parse(await readFile(factsPath(path), 'utf8')))
  } catch (error) {
    if (error instanceof FabricError) throw error
    // Without facts, or with half of them, the part begins again: that is always right.
    return undefined
  }
}

function parseFacts(value: unknown): KeptFacts | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { source, etag, bytes, digest, syncedBytes } = value as { readonly [name: string]: unknown }
  if (typeof source !== 'string' || typeof syncedBytes !== 'number') return undefined
  return {
    source,
    syncedBytes,
    ...(typeof etag === 'string' ? { etag } : {}),
    ...(typeof bytes === 'number' && Number.isSafeInteger(bytes) ? { bytes } : {}),
    ...(typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest) ? { digest } : {}),
  }
}
