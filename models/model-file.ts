/** Is a model file the one that its digest names? */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { FabricError } from '../core/errors.ts'

const READ_BYTES = 1_048_576

export type ModelFile = {
  readonly bytes: number
  /** Digest, size, time and inode: a file that still has this stamp need not be read again. */
  readonly stamp: string
}

/**
 * Checks the file's SHA-256.
 *
 * @param verified  a stamp from an earlier check, or ''
 * @throws          FabricError CF_MODEL_LOAD_FAILED when it cannot be read, CF_MODEL_DIGEST_MISMATCH
 */
export async function verifyModelFile(path: string, digest: string, verified = ''): Promise<ModelFile> {
  try {
    const { size, mtimeMs, ino, dev } = await stat(path)
    const stamp = [digest, size, mtimeMs, dev, ino].join(' ')
    if (stamp !== verified && (await fileDigest(path)) !== digest) throw new FabricError('CF_MODEL_DIGEST_MISMATCH')
    return { bytes: size, stamp }
  } catch (error) {
    throw error instanceof FabricError
      ? error
      : new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'file_unreadable' }, error)
  }
}

/** @returns lowercase hex */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: READ_BYTES }), hash)
  return hash.digest('hex')
}
