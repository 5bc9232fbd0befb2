/** One process works on one model at a time. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FabricError } from '../../core/errors.ts'

const SQLITE_BUSY = 5

/**
 * Runs work while this process alone holds the file's lock.
 *
 * Why SQLite's: the kernel drops it when its process dies, so none is ever stale, and no two can take over from a third at once. Readers
 * are still let in, so that the loser can say whose it is: the number of the process is in the file.
 *
 * @param waitMs  how long to wait for another process; blocks this one, so at most seconds
 * @throws        FabricError CF_MODEL_PULL_BUSY, CF_MODEL_STORE_FAILED; whatever the work throws
 */
export async function withLock<T>(path: string, waitMs: number, work: () => Promise<T>): Promise<T> {
  const lock = await acquire(path, waitMs)
  try {
    return await work()
  } finally {
    lock.close()
  }
}

async function acquire(path: string, waitMs: number): Promise<DatabaseSync> {
  const lock = await open(path)
  try {
    lock.exec(`PRAGMA busy_timeout=${waitMs}`)
    lock.exec('PRAGMA journal_mode=MEMORY')
    lock.exec(`PRAGMA user_version=${process.pid}`)
    lock.exec('BEGIN IMMEDIATE')
    return lock
  } catch (error) {
    const holder = error instanceof Error && isBusy(error) ? holderOf(lock) : undefined
    lock.close()
    if (holder === undefined) throw new FabricError('CF_MODEL_STORE_FAILED', { file: path }, error)
    throw new FabricError('CF_MODEL_PULL_BUSY', holder === 0 || holder === process.pid ? {} : { pid: holder }, error)
  }
}

async function open(path: string): Promise<DatabaseSync> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    return new DatabaseSync(path, { allowExtension: false, timeout: 0 })
  } catch (error) {
    throw new FabricError('CF_MODEL_STORE_FAILED', { file: path }, error)
  }
}

function isBusy(error: Error): boolean {
  return 'errcode' in error && typeof error.errcode === 'number' && (error.errcode & 0xff) === SQLITE_BUSY
}

/** @returns 0 when it cannot be told */
function holderOf(lock: DatabaseSync): number {
  try {
    const value = lock.prepare('PRAGMA user_version').get()?.['user_version']
    return typeof value === 'number' ? value : 0
  } catch {
    return 0
  }
}
