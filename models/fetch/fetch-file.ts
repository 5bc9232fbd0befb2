/** Gets one file, from wherever it is, into its place under the name of its digest; or goes on with what an earlier run has of it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { changingStore, filePath, type Manifest, partPath } from '../installed.ts'
import { fileDigest } from '../model-file.ts'
import type { Wanted } from './attempt.ts'
import { DOWNLOAD_LIMITS, type DownloadLimits, download, type PullClock, type PullEvent } from './download.ts'
import type { FileKind } from './file-kind.ts'
import { type Disk, makeFolder, onDisk, systemDisk } from './files.ts'
import { PartFile } from './part.ts'
import { fillFromPeers, type PeerFiles } from './peers.ts'
import type { Environment, FileSource, Source } from './source.ts'
import { errorCodes, openWeb } from './web.ts'

export type FileWish = {
  /** Names the part: one for each file of each model. */
  readonly part: string
  readonly kind: FileKind
  readonly source: Source
  readonly wanted: Wanted
}
export type FetchOptions = { readonly folder: string; readonly env: Environment; readonly limits?: DownloadLimits }
export type FetchPorts = {
  readonly clock: PullClock
  readonly onEvent: (event: PullEvent) => void
  readonly disk?: Disk
  /** Other nodes that may hold the file: asked before the source, where the digest is known. */
  readonly peers?: PeerFiles
}
export type Fetched = { readonly digest: string; readonly bytes: number; readonly trust: Manifest['trust'] }

/** Left free on the disk: a journal that cannot grow stops the node. */
const SPARE_BYTES = 268_435_456
const READ_BYTES = 1_048_576

/**
 * Completes a file.
 *
 * @param check    looks at the whole file before it is in its place: what cannot be run never gets there
 * @param placed   runs while nobody else changes which files are in use
 * @returns        what `placed` gives
 * @throws         FabricError CF_MODEL_*; the signal's reason, with what has arrived kept
 */
export async function fetchFile<C, T>(
  wish: FileWish,
  options: FetchOptions,
  ports: FetchPorts,
  signal: AbortSignal,
  {
    check,
    placed,
  }: {
    readonly check: (path: string, bytes: number) => Promise<C>
    readonly placed: (fetched: Fetched, checked: C) => Promise<T>
  },
): Promise<T> {
  const { folder } = options
  const { kind, wanted } = wish
  const { digest } = wanted
  // The same file under another name: nothing needs to travel.
  if (digest !== undefined && (await isIntact(filePath(folder, digest, kind), digest))) {
    const path = filePath(folder, digest, kind)
    const { size } = await onDisk(folder, () => stat(path))
    const checked = await check(path, size)
    return changingStore(folder, () => placed({ digest, bytes: size, trust: 'pinned' }, checked))
  }
  const part = await openPart(wish, folder, ports.disk ?? systemDisk, signal)
  try {
    await fill(wish, part, options, ports, signal)
    const fetched = await settle(wish, part)
    const checked = await check(part.path, fetched.bytes)
    return await changingStore(folder, async () => {
      await part.install(filePath(folder, fetched.digest, kind))
      return placed(fetched, checked)
    })
  } catch (error) {
    if (isSpoilt(error) || part.bytes === 0) await part.discard()
    else await part.keep().catch(() => undefined)
    throw error
  } finally {
    await part.close()
  }
}

/** The whole part is on the disk, and is what was wanted. */
async function settle({ wanted }: FileWish, part: PartFile): Promise<Fetched> {
  const digest = part.digest()
  const stated = part.facts.digest
  const expected = wanted.digest ?? stated
  if (expected !== undefined && digest !== expected)
    throw new FabricError('CF_MODEL_DIGEST_MISMATCH', { wanted: expected, got: digest })
  const { bytes } = part
  await part.keep()
  return {
    digest,
    bytes,
    trust: wanted.digest !== undefined ? 'pinned' : stated !== undefined ? 'stated' : 'first-use',
  }
}

async function isIntact(path: string, digest: string): Promise<boolean> {
  return (await fileDigest(path).catch(() => '')) === digest
}

async function openPart(
  { part, kind, source }: FileWish,
  folder: string,
  disk: Disk,
  signal: AbortSignal,
): Promise<PartFile> {
  const path = partPath(folder, part)
  const address = source.kind === 'web' ? source.url.href : source.path
  await onDisk(path, () => makeFolder(dirname(path)))
  return PartFile.open(path, kind, createHash('sha256').update(address).digest('hex'), disk, signal)
}

async function fill(
  { source, wanted }: FileWish,
  part: PartFile,
  { env, folder, limits = DOWNLOAD_LIMITS }: FetchOptions,
  { clock, onEvent, disk = systemDisk, peers }: FetchPorts,
  signal: AbortSignal,
): Promise<void> {
  if (source.kind === 'file') return copy(source, part, folder, disk, onEvent, signal)
  if (part.bytes > 0) onEvent({ type: 'found', done: part.bytes })
  const ensureRoom = (bytesLeft: number): Promise<void> => checkRoom(folder, disk, bytesLeft)
  const { digest, bytes } = wanted
  if (peers !== undefined && digest !== undefined) {
    const pinned = { digest, ...(bytes === undefined ? {} : { bytes }) }
    if (await fillFromPeers(part, pinned, { peers, onEvent, ensureRoom }, signal)) return
  }
  const web = openWeb(env, limits.idleMs)
  try {
    await download(source, part, wanted, { web, clock, limits, onEvent, ensureRoom }, signal)
  } finally {
    await web.close()
  }
}

/** @throws CF_MODEL_DISK_FULL before the disk is filled in vain */
async function checkRoom(folder: string, disk: Disk, bytesLeft: number): Promise<void> {
  if (bytesLeft <= 0) return
  const free = await onDisk(folder, () => disk.freeBytes(folder))
  const needed = bytesLeft + SPARE_BYTES
  if (free < needed) throw new FabricError('CF_MODEL_DISK_FULL', { freeBytes: free, neededBytes: needed })
}

async function copy(
  source: FileSource,
  part: PartFile,
  folder: string,
  disk: Disk,
  onEvent: (event: PullEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const size = await sizeOf(source.path)
  await part.restart({ bytes: size })
  await checkRoom(folder, disk, size)
  try {
    for await (const chunk of createReadStream(source.path, { highWaterMark: READ_BYTES })) {
      signal.throwIfAborted()
      await part.append(chunk)
      part.checkKind()
      onEvent({ type: 'bytes', done: part.bytes, total: size })
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FabricError) throw error
    throw new FabricError(
      'CF_MODEL_STORE_FAILED',
      { file: source.path, reason: errorCodes(error)[0] ?? 'unknown' },
      error,
    )
  }
  if (part.bytes !== size) throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'file_changed' })
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    throw new FabricError('CF_MODEL_SOURCE_MISSING', { file: path }, error)
  })
  if (!found.isFile()) throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'not_a_file' })
  return found.size
}

/** After these the part is worth nothing: what is in it is not the model. */
function isSpoilt(error: unknown): boolean {
  const codes = ['CF_MODEL_DIGEST_MISMATCH', 'CF_MODEL_FORMAT_INVALID']
  return error instanceof FabricError && codes.includes(error.code)
}
