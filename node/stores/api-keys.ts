/**
 * API keys in one file that the daemon and the command line share: read again when it changes, replaced as a whole, never in part.
 *
 * Why a plain SHA-256 of the secret is enough at rest: salts and slow hashes protect secrets that people choose. Of 256 random bits
 * there is no list to try, and two keys never have the same.
 */
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs'
import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import type { ApiKey, ApiKeys, KeyWish } from '../runtime/access.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { formatKeys, KEY_FILE_BYTES_MAX, parseKeys } from './api-key-file.ts'

export type ApiKeyPorts = {
  readonly clock: Clock
  readonly random: Random
  /** The file could not be read: every key in it is refused until it can. */
  readonly onFault: (error: unknown) => void
}

const KEY_COUNT_MAX = 1_000
const ID_BYTES = 8
const SECRET_BYTES = 32
const FILE_MODE = 0o600
const OTHERS = 0o077
/** How old the last look at the file may be. */
const CHECK_NS = 250_000_000n
const LOCK_WAIT_MS = 2_000
const LOCK_POLL_MS = 20
const NO_FILE = 'none'

export class ApiKeyFile implements ApiKeys {
  readonly #path: string
  readonly #ports: ApiKeyPorts
  #keys: ReadonlyMap<string, ApiKey> = new Map()
  #fault: unknown
  /** What the file was when it was last read: identity, time and size. */
  #seen = ''
  #checkedNs: bigint | undefined

  constructor(path: string, ports: ApiKeyPorts) {
    this.#path = path
    this.#ports = ports
  }

  find(id: string): ApiKey | undefined {
    const nowNs = this.#ports.clock.monotonicNs()
    if (this.#checkedNs === undefined || nowNs - this.#checkedNs >= CHECK_NS) {
      this.#checkedNs = nowNs
      this.#refresh()
    }
    return this.#keys.get(id)
  }

  list(): readonly ApiKey[] {
    this.#refresh()
    if (this.#fault !== undefined) throw this.#fault
    return [...this.#keys.values()]
  }

  async add(wish: KeyWish): Promise<{ readonly key: ApiKey; readonly text: string }> {
    const hex = (byteCount: number): string => Buffer.from(this.#ports.random.bytes(byteCount)).toString('hex')
    const [id, secret] = [hex(ID_BYTES), hex(SECRET_BYTES)]
    const sha256 = createHash('sha256').update(secret).digest('hex')
    const key: ApiKey = { id, ...wish, createdMs: this.#ports.clock.nowMs(), sha256 }
    await this.#change((keys) => {
      if (keys.length >= KEY_COUNT_MAX) throw new FabricError('CF_CONTROL_TOO_MANY_KEYS', { keys: KEY_COUNT_MAX })
      return [...keys, key]
    })
    return { key, text: `cfab_${id}_${secret}` }
  }

  async revoke(id: string): Promise<ApiKey> {
    let revoked: ApiKey | undefined
    await this.#change((keys) => {
      revoked = keys.find((key) => key.id === id)
      return keys.filter((key) => key.id !== id)
    })
    if (revoked === undefined) throw new FabricError('CF_CONTROL_KEY_UNKNOWN', { param: 'id' })
    return revoked
  }

  /** Fails closed: while the file cannot be read no key in it is good, because one of them may have been revoked. */
  #refresh(): void {
    const seen = identityOf(this.#path)
    if (seen === this.#seen) return
    try {
      this.#keys = new Map(readKeyFile(this.#path).map((key) => [key.id, key]))
      this.#fault = undefined
    } catch (error) {
      this.#keys = new Map()
      this.#fault = error
      this.#ports.onFault(error)
    }
    this.#seen = seen
  }

  /** Reads, changes and replaces the file while no other process does. */
  async #change(change: (keys: readonly ApiKey[]) => readonly ApiKey[]): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 })
      const unlock = await this.#lock()
      try {
        await this.#replace(formatKeys(change(readKeyFile(this.#path))))
      } finally {
        await unlock()
      }
    } catch (error) {
      throw error instanceof FabricError ? error : unreadable(this.#path, 'io', error)
    }
    this.#refresh()
  }

  /** A draft takes the file's place with its content on disk: a reader sees the old keys or the new ones. */
  async #replace(text: string): Promise<void> {
    const draft = `${this.#path}.draft`
    const file = await open(draft, 'w', FILE_MODE)
    try {
      await file.chmod(FILE_MODE)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, this.#path)
    await syncFolder(dirname(this.#path))
  }

  /** @returns gives the lock back. @throws CF_IDENTITY_KEY_UNREADABLE when another process keeps it for too long */
  async #lock(): Promise<() => Promise<void>> {
    const path = `${this.#path}.lock`
    const { clock } = this.#ports
    for (let waitedMs = 0; waitedMs < LOCK_WAIT_MS; waitedMs += LOCK_POLL_MS) {
      const file = await open(path, 'wx', FILE_MODE).catch(unlessExists)
      if (file !== undefined) {
        await file.writeFile(String(process.pid)).finally(() => file.close())
        return () => unlink(path)
      }
      // A process that died while it wrote leaves its lock behind.
      if (await isOrphaned(path)) await unlink(path).catch(() => undefined)
      else await clock.sleep(LOCK_POLL_MS)
    }
    throw unreadable(path, 'another process changes the keys')
  }
}

function readKeyFile(path: string): readonly ApiKey[] {
  let file: number | undefined
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    const { mode, uid, size } = fstatSync(file)
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) throw unreadable(path, 'mode_too_open')
    if (process.getuid !== undefined && uid !== process.getuid()) throw unreadable(path, 'other_owner')
    if (size > KEY_FILE_BYTES_MAX) throw unreadable(path, 'too_large')
    const keys = parseKeys(readFileSync(file, 'utf8'))
    if (keys === undefined || keys.length > KEY_COUNT_MAX) throw unreadable(path, 'malformed')
    return keys
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error instanceof FabricError ? error : unreadable(path, 'io', error)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Tells one state of the file from the next: a replaced file is another inode, an edited one has another time. */
function identityOf(path: string): string {
  const stats: Stats | undefined = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? NO_FILE : [stats.ino, stats.mtimeMs, stats.ctimeMs, stats.size].join(' ')
}

async function isOrphaned(path: string): Promise<boolean> {
  const holder = Number(await readFile(path, 'utf8').catch(() => ''))
  if (!Number.isSafeInteger(holder) || holder <= 0) return false
  try {
    process.kill(holder, 0)
    return false
  } catch (error) {
    return errorCode(error) === 'ESRCH'
  }
}

/** A rename is on disk when its folder is. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

function unlessExists(error: unknown): undefined {
  if (errorCode(error) !== 'EEXIST') throw error
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function unreadable(file: string, reason: string, cause?: unknown): FabricError {
  return new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file, reason }, cause)
}
