/** Files that are either whole or not there: write beside, flush, rename, flush the folder. */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, statfs, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { errorCodes } from './web.ts'

/** What may go wrong with a disk and cannot be provoked on a healthy one: tests pass their own. */
export type Disk = {
  /** Bytes that a person without privileges may still write. */
  readonly freeBytes: (folder: string) => Promise<number>
  /** Writes all of it. */
  readonly write: (file: FileHandle, bytes: Uint8Array, position: number) => Promise<void>
}

const FILE_MODE = 0o600
const FOLDER_MODE = 0o700
const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']

export const systemDisk: Disk = {
  async freeBytes(folder) {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  },
  async write(file, bytes, position) {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
    }
  },
}

/** Runs work on the disk. @throws FabricError CF_MODEL_DISK_FULL, CF_MODEL_STORE_FAILED in place of the system's errors */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof FabricError) throw error
    const [code = 'unknown'] = errorCodes(error)
    const isFull = FULL.includes(code)
    throw new FabricError(isFull ? 'CF_MODEL_DISK_FULL' : 'CF_MODEL_STORE_FAILED', { file: path, reason: code }, error)
  }
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: FOLDER_MODE })
}

/** Opens a file of ours to read and write, and creates it; never through a link that somebody else has put there. */
export function openOwn(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), FILE_MODE)
}

export async function writeAtomically(path: string, text: string): Promise<void> {
  const beside = `${path}.new`
  const file = await open(beside, 'w', FILE_MODE)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await renameDurably(beside, path)
}

export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
}

/** @returns whether it was there */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (error) {
    if (errorCodes(error)[0] === 'ENOENT') return false
    throw error
  }
}

async function syncFolder(path: string): Promise<void> {
  // A folder cannot be opened on Windows, and its rename needs no flush.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
