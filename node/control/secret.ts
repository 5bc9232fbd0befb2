/** Bearer keys of the HTTP API: 32 random bytes in a file that only its owner reads; compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { link, mkdir, open, unlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import type { Random } from '../runtime/ports.ts'

const SECRET = /^[0-9a-f]{64}$/
const SECRET_BYTES = 32
const FILE_BYTES_MAX = 128
const OTHERS = 0o077

/**
 * The key in the file, created with mode 0600 when absent.
 *
 * Why a draft is linked into place: another program never reads a half-written key, and of two that race both get the first one's.
 *
 * @throws CF_IDENTITY_KEY_UNREADABLE
 */
export async function loadOrCreateSecret(path: string, random: Random): Promise<string> {
  const draft = `${path}.${Buffer.from(random.bytes(8)).toString('hex')}.draft`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(draft, `${Buffer.from(random.bytes(SECRET_BYTES)).toString('hex')}\n`, {
      flag: 'wx',
      mode: 0o600,
      flush: true,
    })
    await link(draft, path).finally(() => unlink(draft))
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (!exists) throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file: path }, error)
  }
  return readSecret(path)
}

/** @throws CF_IDENTITY_KEY_UNREADABLE when it is absent, malformed or readable by others */
export async function readSecret(path: string): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      const { mode } = await file.stat()
      if (process.platform !== 'win32' && (mode & OTHERS) !== 0)
        throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file: path, reason: 'mode_too_open' })
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FILE_BYTES_MAX), 0, FILE_BYTES_MAX, 0)
      const secret = buffer.toString('utf8', 0, bytesRead).trim()
      if (SECRET.test(secret)) return secret
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof FabricError) throw error
    throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file: path }, error)
  }
  throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file: path, reason: 'malformed' })
}

/** Hashing first gives both sides one length, which timingSafeEqual needs. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(createHash('sha256').update(given).digest(), createHash('sha256').update(expected).digest())
}

/** @param sha256  digest of the expected secret, 64 hexadecimal digits */
export function hasDigest(given: string, sha256: string): boolean {
  return timingSafeEqual(createHash('sha256').update(given).digest(), Buffer.from(sha256, 'hex'))
}
