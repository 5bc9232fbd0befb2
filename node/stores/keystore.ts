/** Key files: one Ed25519 seed each, as 64 hex characters and a newline, readable by their owner only. */
import { constants } from 'node:fs'
import { link, mkdir, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fromHex, toHex } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { invariant } from '../../core/invariant.ts'
import type { KeyStore, Random } from '../runtime/ports.ts'

const NAME = /^[a-z0-9-]{1,40}$/
const FILE = /^([a-z0-9-]{1,40})\.key$/
const SEED_LINE = /^([0-9a-f]{64})\n$/
const SEED_BYTES = 32
const FILE_BYTES = 65
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700
const OTHERS = 0o077

export function createKeyStore(folder: string, random: Random): KeyStore {
  return {
    async load(name) {
      invariant(NAME.test(name), 'a key is named by the code, never by a peer')
      const path = join(folder, `${name}.key`)
      try {
        return (await readKey(path)) ?? (await createKey(folder, name, random))
      } catch (error) {
        throw error instanceof FabricError ? error : unreadable(name, 'io', error)
      }
    },
    async list() {
      const files = await readdir(folder).catch(() => [])
      return files.flatMap((file) => FILE.exec(file)?.[1] ?? []).sort()
    },
  }
}

/** @returns undefined when there is no such file; anything else that is wrong with it throws */
async function readKey(path: string): Promise<KeyPair | undefined> {
  // O_NOFOLLOW and fstat on the open file: what is checked is what is read.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const { mode, uid, size } = await file.stat()
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) throw unreadable(path, 'mode_too_open')
    if (process.getuid !== undefined && uid !== process.getuid()) throw unreadable(path, 'other_owner')
    const hex = size === FILE_BYTES ? SEED_LINE.exec(await file.readFile('latin1'))?.[1] : undefined
    const seed = hex === undefined ? undefined : fromHex(hex)
    if (seed === undefined) throw unreadable(path, 'malformed')
    return keyPairFromSeed(seed)
  } finally {
    await file.close()
  }
}

/** Writes beside, then links: the name never shows a half-written key, and of two that race both get the first one's. */
async function createKey(folder: string, name: string, random: Random): Promise<KeyPair> {
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE })
  const path = join(folder, `${name}.key`)
  const draft = `${path}.${toHex(random.bytes(8))}.draft`
  await writeDurably(draft, `${toHex(random.bytes(SEED_BYTES))}\n`)
  try {
    await link(draft, path)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  await syncFolder(folder)
  const key = await readKey(path)
  if (key === undefined) throw unreadable(path, 'vanished')
  return key
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}

function unreadable(file: string, reason: string, cause?: unknown): FabricError {
  return new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file, reason }, cause)
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
