/** From what a person asked for to a model that can be served: source, lock, file, digest, header, manifest. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { findModel } from '../catalogue.ts'
import { findKnown, type KnownModel } from '../catalogue-known.ts'
import {
  changingStore,
  findInstalled,
  isModelId,
  lockPath,
  type Manifest,
  modelPath,
  partPath,
  writeManifest,
} from '../installed.ts'
import { fileDigest } from '../model-file.ts'
import type { Wanted } from './attempt.ts'
import { DOWNLOAD_LIMITS, type DownloadLimits, download, type PullClock, type PullEvent } from './download.ts'
import { type Disk, makeFolder, onDisk, systemDisk } from './files.ts'
import { readModelFacts } from './header.ts'
import { withLock } from './lock.ts'
import { PartFile } from './part.ts'
import { type Environment, type FileSource, parseSource, type Source } from './source.ts'
import { errorCodes, openWeb } from './web.ts'

export type PullRequest = {
  /** An id of the catalogue, or a source. */
  readonly model: string
  /** The id to install it under; from the catalogue or the file's name when absent. */
  readonly as?: string
  /** sha256 that the file must have, lowercase hex. */
  readonly digest?: string
}
export type PullOptions = {
  readonly folder: string
  readonly env: Environment
  readonly cwd: string
  readonly limits?: DownloadLimits
}
export type PullPorts = {
  readonly clock: PullClock
  readonly onEvent: (event: PullEvent) => void
  readonly disk?: Disk
}
export type Pulled = { readonly manifest: Manifest; readonly isNew: boolean }

type Plan = {
  readonly id: string
  readonly source: Source
  readonly wanted: Wanted
  readonly known: KnownModel | undefined
}

const LOCK_MS = 250
/** Left free on the disk: a journal that cannot grow stops the node. */
const SPARE_BYTES = 268_435_456
const READ_BYTES = 1_048_576

/**
 * Pulls a model, or goes on with an earlier pull of it. Nothing is in its place before it is whole, checked and readable.
 *
 * @throws FabricError CF_MODEL_*; the signal's reason, with what has arrived kept for the next pull
 */
export async function pullModel(
  request: PullRequest,
  options: PullOptions,
  ports: PullPorts,
  signal: AbortSignal,
): Promise<Pulled> {
  const plan = planPull(request, options)
  const { folder } = options
  return withLock(lockPath(folder, plan.id), LOCK_MS, async () => {
    const present = await findInstalled(folder, plan.id)
    if (present !== undefined) return alreadyThere(present, plan)
    return { manifest: await install(plan, options, ports, signal), isNew: true }
  })
}

/** @throws FabricError for what is refused before anything is asked or written */
function planPull(request: PullRequest, { env, cwd }: PullOptions): Plan {
  const known = findKnown(request.model)
  if (known?.task === 'embedding')
    throw new FabricError('CF_MODEL_FORMAT_INVALID', {
      model: known.id,
      reason: 'not_runnable_yet',
      missing: known.missing,
    })
  if (findModel(request.model) !== undefined) throw new FabricError('CF_MODEL_BUNDLED', { model: request.model })
  const source = parseSource(known?.source ?? request.model, env, cwd)
  if (source === undefined) throw new FabricError('CF_MODEL_UNKNOWN', { model: request.model.slice(0, 128) })
  if (source.fileName.endsWith('.onnx'))
    throw new FabricError('CF_MODEL_FORMAT_INVALID', { format: 'onnx', reason: 'not_runnable_yet' })
  const id = request.as ?? known?.id ?? idFrom(source.fileName)
  if (!isModelId(id)) throw new FabricError('CF_MODEL_ID_TAKEN', { reason: 'malformed' })
  if (findModel(id) !== undefined) throw new FabricError('CF_MODEL_BUNDLED', { model: id })
  const owner = findKnown(id)
  if (owner !== undefined && owner !== known)
    throw new FabricError('CF_MODEL_ID_TAKEN', { model: id, reason: 'catalogue' })
  return { id, source, known, wanted: wantedOf(request, known) }
}

function wantedOf({ digest }: PullRequest, known: KnownModel | undefined): Wanted {
  if (digest !== undefined && !/^[0-9a-f]{64}$/.test(digest))
    throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key: '--sha256', expected: '64 hexadecimal digits' })
  const pinned = digest ?? known?.digest
  if (known?.digest !== undefined && pinned !== known.digest)
    throw new FabricError('CF_MODEL_DIGEST_MISMATCH', { wanted: pinned ?? '', catalogue: known.digest })
  return {
    ...(pinned === undefined ? {} : { digest: pinned }),
    ...(known?.bytes === undefined ? {} : { bytes: known.bytes }),
  }
}

function idFrom(fileName: string): string {
  const name = fileName.toLowerCase().replace(/\.gguf$/, '')
  return name
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63)
}

function alreadyThere(present: Manifest, { id, source, wanted }: Plan): Pulled {
  const isOther = wanted.digest === undefined ? present.source !== source.label : wanted.digest !== present.digest
  if (isOther) throw new FabricError('CF_MODEL_ID_TAKEN', { model: id, reason: 'installed_from_elsewhere' })
  return { manifest: present, isNew: false }
}

async function install(plan: Plan, options: PullOptions, ports: PullPorts, signal: AbortSignal): Promise<Manifest> {
  const { folder } = options
  const { wanted } = plan
  // The same file under another name: nothing needs to travel.
  if (wanted.digest !== undefined && (await isIntact(folder, wanted.digest))) {
    const { size } = await onDisk(folder, () => stat(modelPath(folder, wanted.digest ?? '')))
    return changingStore(folder, () => record(plan, folder, wanted.digest ?? '', size, 'pinned', ports))
  }
  const part = await openPart(plan, folder, ports.disk ?? systemDisk, signal)
  try {
    await fill(plan, part, options, ports, signal)
    return await settle(plan, part, folder, ports)
  } catch (error) {
    if (isSpoilt(error) || part.bytes === 0) await part.discard()
    else await part.keep().catch(() => undefined)
    throw error
  } finally {
    await part.close()
  }
}

async function isIntact(folder: string, digest: string): Promise<boolean> {
  return (await fileDigest(modelPath(folder, digest)).catch(() => '')) === digest
}

async function openPart({ id, source }: Plan, folder: string, disk: Disk, signal: AbortSignal): Promise<PartFile> {
  const path = partPath(folder, id)
  const address = source.kind === 'web' ? source.url.href : source.path
  await onDisk(path, () => makeFolder(dirname(path)))
  return PartFile.open(path, createHash('sha256').update(address).digest('hex'), disk, signal)
}

async function fill(
  { source, wanted }: Plan,
  part: PartFile,
  { env, folder, limits = DOWNLOAD_LIMITS }: PullOptions,
  { clock, onEvent, disk = systemDisk }: PullPorts,
  signal: AbortSignal,
): Promise<void> {
  if (source.kind === 'file') return copy(source, part, folder, disk, onEvent, signal)
  if (part.bytes > 0) onEvent({ type: 'found', done: part.bytes })
  const ensureRoom = (bytesLeft: number): Promise<void> => checkRoom(folder, disk, bytesLeft)
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
      if (!part.mayBeGguf) throw new FabricError('CF_MODEL_FORMAT_INVALID', { reason: 'not_gguf' })
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

/** Checks the whole part, puts it in its place and writes the manifest. */
async function settle(plan: Plan, part: PartFile, folder: string, ports: PullPorts): Promise<Manifest> {
  const digest = part.digest()
  const stated = part.facts.digest
  const expected = plan.wanted.digest ?? stated
  if (expected !== undefined && digest !== expected)
    throw new FabricError('CF_MODEL_DIGEST_MISMATCH', { wanted: expected, got: digest })
  const { bytes } = part
  await part.keep()
  // Before the file is in its place: what cannot be run never gets there.
  await readModelFacts(part.path, bytes)
  const trust = plan.wanted.digest !== undefined ? 'pinned' : stated !== undefined ? 'stated' : 'first-use'
  return changingStore(folder, async () => {
    await part.install(modelPath(folder, digest))
    return record(plan, folder, digest, bytes, trust, ports)
  })
}

async function record(
  { id, source, known }: Plan,
  folder: string,
  digest: string,
  bytes: number,
  trust: Manifest['trust'],
  { clock }: PullPorts,
): Promise<Manifest> {
  const { shape, ...facts } = await readModelFacts(modelPath(folder, digest), bytes)
  const manifest: Manifest = {
    ...{ version: 1, id, source: source.label, digest, trust, bytes, task: 'chat', format: 'gguf', dimensions: 0 },
    ...{ ...facts, ...shape, licence: known?.licence ?? (facts.licence || 'unknown'), pulledMs: clock.nowMs() },
  }
  await writeManifest(folder, manifest)
  return manifest
}

/** After these the part is worth nothing: what is in it is not the model. */
function isSpoilt(error: unknown): boolean {
  const codes = ['CF_MODEL_DIGEST_MISMATCH', 'CF_MODEL_FORMAT_INVALID']
  return error instanceof FabricError && codes.includes(error.code)
}
