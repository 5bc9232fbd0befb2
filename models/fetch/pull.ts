/** From what a person asked for to a model that can be served: source, lock, files, digests, header, manifest. */
import { FabricError } from '../../core/errors.ts'
import { findModel } from '../catalogue.ts'
import { findKnown, type KnownModel } from '../catalogue-known.ts'
import { filePath, findInstalled, isModelId, lockPath, type Manifest, writeManifest } from '../installed.ts'
import { readEncoderFacts } from '../onnx-facts.ts'
import type { Pooling } from '../onnx-signature.ts'
import type { Wanted } from './attempt.ts'
import { type Fetched, type FetchOptions, type FetchPorts, fetchFile } from './fetch-file.ts'
import { readModelFacts } from './header.ts'
import { withLock } from './lock.ts'
import { parseSource, type Source, tokenizerSource } from './source.ts'

export type PullRequest = {
  /** An id of the catalogue, or a source. */
  readonly model: string
  /** The id to install it under; from the catalogue or the file's name when absent. */
  readonly as?: string
  /** sha256 that the file must have, lowercase hex. */
  readonly digest?: string
  /** Source of an encoder's vocabulary; absent: `tokenizer.json` where hubs keep it. */
  readonly tokenizer?: string
  /** How an encoder's vectors of tokens become one of the text; absent: as the catalogue says, else their mean. */
  readonly pooling?: Pooling
}
export type PullOptions = FetchOptions & { readonly cwd: string }
export type PullPorts = FetchPorts
export type Pulled = { readonly manifest: Manifest; readonly isNew: boolean }

type Plan = {
  readonly id: string
  readonly source: Source
  readonly wanted: Wanted
  readonly known: KnownModel | undefined
  /** Of an ONNX encoder. */
  readonly encoder?: { readonly tokenizer: Source; readonly pooling: Pooling }
}
/** What is recorded of any model. */
type Stem = Pick<Manifest, 'version' | 'id' | 'source' | 'licence' | 'pulledMs'>

const LOCK_MS = 250

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
  if (findModel(request.model) !== undefined) throw new FabricError('CF_MODEL_BUNDLED', { model: request.model })
  const source = parseSource(known?.source ?? request.model, env, cwd)
  if (source === undefined) throw new FabricError('CF_MODEL_UNKNOWN', { model: request.model.slice(0, 128) })
  const id = request.as ?? known?.id ?? idFrom(source.fileName)
  if (!isModelId(id)) throw new FabricError('CF_MODEL_ID_TAKEN', { reason: 'malformed' })
  if (findModel(id) !== undefined) throw new FabricError('CF_MODEL_BUNDLED', { model: id })
  const owner = findKnown(id)
  if (owner !== undefined && owner !== known)
    throw new FabricError('CF_MODEL_ID_TAKEN', { model: id, reason: 'catalogue' })
  const plan = { id, source, known, wanted: wantedOf(request, known) }
  if (source.fileName.endsWith('.onnx')) return { ...plan, encoder: encoderPlan(request, source, known, cwd, env) }
  const key = request.tokenizer !== undefined ? '--tokenizer' : request.pooling !== undefined ? '--pooling' : undefined
  if (key !== undefined) throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key, expected: 'an ONNX file' })
  return plan
}

function encoderPlan(
  request: PullRequest,
  source: Source,
  known: KnownModel | undefined,
  cwd: string,
  env: PullOptions['env'],
): NonNullable<Plan['encoder']> {
  const tokenizer = request.tokenizer === undefined ? tokenizerSource(source) : parseSource(request.tokenizer, env, cwd)
  if (tokenizer === undefined) throw new FabricError('CF_MODEL_SOURCE_INVALID', { reason: 'tokenizer_unknown' })
  return { tokenizer, pooling: request.pooling ?? (known?.task === 'embedding' ? known.pooling : 'mean') }
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
  const name = fileName.toLowerCase().replace(/\.(?:gguf|onnx)$/, '')
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
  return plan.encoder === undefined
    ? installGguf(plan, options, ports, signal)
    : installOnnx(plan, plan.encoder, options, ports, signal)
}

function installGguf(plan: Plan, options: PullOptions, ports: PullPorts, signal: AbortSignal): Promise<Manifest> {
  const { id, source, wanted, known } = plan
  const { folder } = options
  return fetchFile({ part: id, kind: 'gguf', source, wanted }, options, ports, signal, {
    check: readModelFacts,
    placed: (fetched, { shape, templateDigest = fetched.digest, dimensions, ...facts }) => {
      const licence = known?.licence ?? (facts.licence || 'unknown')
      const { keyValueBytes, activationBytes } = shape
      const size = { keyValueBytes, activationBytes }
      const common = { ...facts, ...stemOf(plan, licence, ports), ...fetched, templateDigest, ...size }
      return write(
        folder,
        dimensions === 0
          ? { ...common, task: 'chat', format: 'gguf', dimensions }
          : { ...common, task: 'embedding', format: 'gguf', dimensions },
      )
    },
  })
}

/** The vocabulary first: it is small, and without it the model is not worth its way. */
async function installOnnx(
  plan: Plan,
  { tokenizer, pooling }: NonNullable<Plan['encoder']>,
  options: PullOptions,
  ports: PullPorts,
  signal: AbortSignal,
): Promise<Manifest> {
  const { id, source, wanted, known } = plan
  const { folder } = options
  const vocabulary = await fetchFile(
    { part: `${id}.tokenizer`, kind: 'tokenizer', source: tokenizer, wanted: {} },
    options,
    ports,
    signal,
    { check: async () => undefined, placed: async (fetched) => fetched },
  )
  return fetchFile({ part: id, kind: 'onnx', source, wanted }, options, ports, signal, {
    check: (path, bytes) => readEncoderFacts(path, bytes, vocabularyFile(folder, vocabulary), pooling),
    placed: (fetched, facts) =>
      write(folder, {
        ...{ ...stemOf(plan, known?.licence ?? 'unknown', ports), ...fetched, task: 'embedding', format: 'onnx' },
        ...facts,
        ...{ templateDigest: vocabulary.digest, tokenizerBytes: vocabulary.bytes, pooling },
      }),
  })
}

function vocabularyFile(folder: string, { digest }: Fetched): { readonly path: string; readonly digest: string } {
  return { path: filePath(folder, digest, 'tokenizer'), digest }
}

function stemOf({ id, source }: Plan, licence: string, { clock }: PullPorts): Stem {
  return { version: 1, id, source: source.label, licence, pulledMs: clock.nowMs() }
}

async function write(folder: string, manifest: Manifest): Promise<Manifest> {
  await writeManifest(folder, manifest)
  return manifest
}
