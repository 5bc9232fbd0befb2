/** Models that were pulled: one manifest each, files named by their digest. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { FabricError } from '../core/errors.ts'
import type { CatalogueEntry } from './catalogue.ts'
import type { FileKind } from './fetch/file-kind.ts'
import { makeFolder, onDisk, removeFile, writeAtomically } from './fetch/files.ts'
import { withLock } from './fetch/lock.ts'
import type { ModelShape } from './memory.ts'

const MODEL_ID = /^[a-z0-9][a-z0-9._-]{0,62}$/
const SHA256_HEX = '^[0-9a-f]{64}$'
const MANIFEST_BYTES_MAX = 16_384
const MODEL_COUNT_MAX = 4_096
const STORE_LOCK_MS = 5_000

const whole = (minimum: number) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER })
const COMMON = {
  version: Type.Literal(1),
  id: Type.String({ pattern: MODEL_ID.source }),
  /** As it was asked for, without what may be secret. */
  source: Type.String({ maxLength: 2_048 }),
  digest: Type.String({ pattern: SHA256_HEX }),
  /** Who said so first: the catalogue or `--sha256`, the hub, or nobody but the file itself. */
  trust: Type.Union([Type.Literal('pinned'), Type.Literal('stated'), Type.Literal('first-use')]),
  bytes: whole(1),
  parameters: Type.String({ maxLength: 32 }),
  quantisation: Type.String({ maxLength: 64 }),
  megaParams: whole(1),
  /** What the model was trained with. */
  contextTokens: whole(1),
  /** Of the chat template's text, of an ONNX encoder's vocabulary file, or of a GGUF encoder's own file. */
  templateDigest: Type.String({ pattern: SHA256_HEX }),
  licence: Type.String({ maxLength: 64 }),
  pulledMs: whole(0),
}
const GGUF = {
  format: Type.Literal('gguf'),
  architecture: Type.String({ maxLength: 64 }),
  keyValueBytes: Type.Number({ minimum: 0 }),
  activationBytes: Type.Number({ minimum: 0 }),
}
const ChatManifest = Type.Object({
  ...COMMON,
  ...GGUF,
  task: Type.Literal('chat'),
  dimensions: Type.Literal(0),
})
/** Its vocabulary and its way of pooling are in the file. */
const GgufEncoderManifest = Type.Object({
  ...COMMON,
  ...GGUF,
  task: Type.Literal('embedding'),
  dimensions: whole(1),
})
const OnnxEncoderManifest = Type.Object({
  ...COMMON,
  task: Type.Literal('embedding'),
  format: Type.Literal('onnx'),
  dimensions: whole(1),
  pooling: Type.Union([Type.Literal('mean'), Type.Literal('cls')]),
  tokenizerBytes: whole(1),
})
const manifestCheck = Compile(Type.Union([ChatManifest, GgufEncoderManifest, OnnxEncoderManifest]))

export type ChatManifest = Readonly<Static<typeof ChatManifest>>
export type GgufEncoderManifest = Readonly<Static<typeof GgufEncoderManifest>>
export type OnnxEncoderManifest = Readonly<Static<typeof OnnxEncoderManifest>>
export type GgufManifest = ChatManifest | GgufEncoderManifest
export type Manifest = GgufManifest | OnnxEncoderManifest
export type Installed = {
  readonly manifests: readonly Manifest[]
  /** Ids of manifests that cannot be read. */
  readonly damaged: readonly string[]
}

export function isModelId(id: string): boolean {
  return MODEL_ID.test(id)
}

/** @returns where the file of a digest lies, absolute when the folder is */
export function filePath(folder: string, digest: string, kind: FileKind): string {
  return join(folder, `${digest}.${kind}`)
}

export function modelPath(folder: string, { digest, format }: Pick<Manifest, 'digest' | 'format'>): string {
  return filePath(folder, digest, format)
}

/** Where a pull keeps what has arrived so far, and its lock. */
export function partPath(folder: string, id: string): string {
  return join(folder, 'partial', `${id}.part`)
}

export function lockPath(folder: string, id: string): string {
  return join(folder, 'partial', `${id}.lock`)
}

/** Every pulled model, by id. A folder that is not there holds none. @throws FabricError CF_MODEL_STORE_FAILED */
export async function installedModels(folder: string): Promise<Installed> {
  const names = await onDisk(folder, () => namesIn(folder))
  const ids = names.flatMap((name) => /^(.+)\.json$/.exec(name)?.[1] ?? []).filter(isModelId)
  const manifests: Manifest[] = []
  const damaged: string[] = []
  for (const id of ids.toSorted().slice(0, MODEL_COUNT_MAX)) {
    const manifest = await readManifest(folder, id)
    if (manifest === undefined) damaged.push(id)
    else manifests.push(manifest)
  }
  return { manifests, damaged }
}

/** Parts that earlier pulls have left, by the id they are for. */
export async function partialModels(folder: string): Promise<readonly string[]> {
  const names = await onDisk(folder, () => namesIn(join(folder, 'partial')))
  return names.flatMap((name) => /^(.+)\.part$/.exec(name)?.[1] ?? []).filter(isModelId)
}

/** @returns undefined when there is none, or it is damaged, or the file is not there or of another size */
export async function findInstalled(folder: string, id: string): Promise<Manifest | undefined> {
  const manifest = isModelId(id) ? await readManifest(folder, id) : undefined
  return manifest !== undefined && (await hasFiles(folder, manifest)) ? manifest : undefined
}

export async function hasFiles(folder: string, manifest: Manifest): Promise<boolean> {
  const sizes = await Promise.all(filesOf(folder, manifest).map(({ path }) => sizeOf(path)))
  return filesOf(folder, manifest).every(({ bytes }, index) => sizes[index] === bytes)
}

/** What a manifest needs on the disk: the model first. */
export function filesOf(
  folder: string,
  manifest: Manifest,
): readonly { readonly path: string; readonly digest: string; readonly bytes: number }[] {
  const { digest, bytes } = manifest
  const model = { path: modelPath(folder, manifest), digest, bytes }
  if (manifest.format === 'gguf') return [model]
  const { templateDigest, tokenizerBytes } = manifest
  const path = filePath(folder, templateDigest, 'tokenizer')
  return [model, { path, digest: templateDigest, bytes: tokenizerBytes }]
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() === true ? found.size : undefined
}

/** What the daemon serves. @param contextTokens  what is offered on this machine, at most what the model was trained with */
export function entryOf(folder: string, manifest: Manifest, contextTokens: number): CatalogueEntry {
  const { id, task, format, digest, bytes, megaParams, parameters, quantisation, licence, templateDigest } = manifest
  return {
    ...{ id, task, format, digest, bytes, megaParams, parameters, quantisation, licence, templateDigest },
    path: modelPath(folder, manifest),
    contextTokens,
    dimensions: manifest.dimensions,
    createdMs: manifest.pulledMs,
    ...(manifest.format === 'gguf' ? { shape: shapeOfManifest(manifest) } : encoderPart(folder, manifest)),
  }
}

export function shapeOfManifest({ keyValueBytes, activationBytes, task }: GgufManifest): ModelShape {
  return { keyValueBytes, activationBytes, isEncoder: task === 'embedding' }
}

function encoderPart(folder: string, manifest: OnnxEncoderManifest): Pick<CatalogueEntry, 'tokenizer' | 'pooling'> {
  const { templateDigest: digest, pooling } = manifest
  return { tokenizer: { path: filePath(folder, digest, 'tokenizer'), digest }, pooling }
}

/** Runs work while no other process changes which files the manifests name. */
export function changingStore<T>(folder: string, work: () => Promise<T>): Promise<T> {
  return withLock(lockPath(folder, '_store'), STORE_LOCK_MS, work)
}

/** @throws FabricError CF_MODEL_DISK_FULL, CF_MODEL_STORE_FAILED */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const path = manifestPath(folder, manifest.id)
  await onDisk(path, async () => {
    await makeFolder(folder)
    await writeAtomically(path, `${JSON.stringify(manifest, null, 2)}\n`)
  })
}

/**
 * Forgets a model, and removes those of its files that no other model has.
 *
 * @returns bytes that this made free
 * @throws  FabricError CF_MODEL_UNKNOWN, CF_MODEL_PULL_BUSY, CF_MODEL_STORE_FAILED
 */
export async function removeInstalled(folder: string, id: string): Promise<number> {
  return changingStore(folder, () =>
    onDisk(folder, async () => {
      const manifest = await readManifest(folder, id)
      if (!(await removeFile(manifestPath(folder, id)))) throw new FabricError('CF_MODEL_UNKNOWN', { model: id })
      if (manifest === undefined) return 0
      const { manifests } = await installedModels(folder)
      const kept = new Set(manifests.flatMap((other) => filesOf(folder, other).map(({ path }) => path)))
      const spare = filesOf(folder, manifest).filter(({ path }) => !kept.has(path))
      let freedBytes = 0
      for (const { path, bytes } of spare) if (await removeFile(path)) freedBytes += bytes
      return freedBytes
    }),
  )
}

function manifestPath(folder: string, id: string): string {
  return join(folder, `${id}.json`)
}

/** @returns undefined when there is none that can be read */
async function readManifest(folder: string, id: string): Promise<Manifest | undefined> {
  const text = await readFile(manifestPath(folder, id), 'utf8').catch(() => '')
  return text.length > MANIFEST_BYTES_MAX ? undefined : parseManifest(text, id)
}

function parseManifest(text: string, id: string): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return manifestCheck.Check(value) && value.id === id ? value : undefined
  } catch {
    return undefined
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
