/** Chooses what drives llama.cpp in this host: the native engine where it can be trusted to compute the same, else lock-step. */
import { basename, dirname, join } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { loadEngineAddon } from '../../native/engine.ts'
import type { Driver, LoadRequest } from '../backend.ts'
import { hostEmbedder } from '../embed-hosted.ts'
import type { Hosted, Send } from '../hosted.ts'
import type { hostLlama } from '../llama-hosted.ts'
import { type ModelFile, verifyModelFile } from '../model-file.ts'
import { parseEngineAddon } from './addon.ts'
import { openNativeEncoder } from './encoder.ts'
import { hostNative } from './hosted.ts'
import {
  defaultsProblem,
  engineIdOf,
  type Library,
  pathsOf,
  pinProblem,
  readLibraries,
  withKernels,
} from './libraries.ts'
import { loadNative, openNative, type ReadyLibraries } from './open.ts'
import { type Found, findLibraries, tryOpen } from './probe.ts'

/** What an earlier host found out; the daemon keeps it as the text `verified`, and it holds as long as the daemon lives. */
type Kept = {
  /** The model file's stamp; see verifyModelFile. */
  readonly file: string
  readonly gpu: LoadRequest['gpu']
  readonly found: Found
  /** Digests of the libraries that opened. */
  readonly opened: readonly string[]
}

/**
 * Loads a GGUF model: one that generates, or an encoder.
 *
 * @throws FabricError as the driver that was chosen; CF_MODEL_LOAD_FAILED `native_absent` when the native one was named and cannot be
 *         had, `device_absent`
 */
export async function hostGguf(request: LoadRequest, verified: string, send: Send): Promise<Hosted> {
  const kept = parseKept(verified)
  const { driver = request.kernels === undefined ? 'auto' : 'native' } = request
  if (driver === 'lockstep') return hostLockstep(request, kept?.file ?? verified, send, 'it was asked for')
  const verifying = verifyModelFile(request.path, request.digest, kept?.file ?? verified)
  // Whichever fails first is told; the other's failure is of no interest then.
  verifying.catch(() => undefined)
  const ready = await prepare(request, kept)
  const file = await verifying
  if (typeof ready !== 'string') return hostReady(request, ready, file, send)
  if (driver === 'native') throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'native_absent', cause: ready })
  process.stderr.write(`The native engine is not used (${ready}): models run through node-llama-cpp.\n`)
  return hostLockstep(request, file.stamp, send, ready)
}

/** Its code is read only where it is needed. */
async function hostLockstep(...load: Parameters<typeof hostLlama>): Promise<Hosted> {
  return (await import('../llama-hosted.ts')).hostLlama(...load)
}

async function hostReady(request: LoadRequest, ready: ReadyLibraries, file: ModelFile, send: Send): Promise<Hosted> {
  const { found, libraries } = ready
  const kept: Kept = { file: file.stamp, gpu: request.gpu, found, opened: digestsOf(libraries) }
  const native = await loadNative(request, ready, file)
  return native.header.encoder === undefined
    ? hostNative(await openNative(request, native, JSON.stringify(kept)), send)
    : hostEmbedder(await openNativeEncoder(request, native, JSON.stringify(kept)), send)
}

/** What would run a model here; '' where it cannot be named without loading one. */
export type ChosenDriver = { readonly driver: Driver; readonly engineId: string; readonly libraryCount: number }

/**
 * Chooses as a host would, for people who ask before they load anything.
 *
 * @throws FabricError CF_MODEL_LOAD_FAILED `device_absent`
 */
export async function chooseDriver(gpu: LoadRequest['gpu']): Promise<ChosenDriver> {
  const ready = await prepare({ gpu }, undefined)
  if (typeof ready === 'string') return { driver: { kind: 'lockstep', reason: ready }, engineId: '', libraryCount: 0 }
  const { libraries, found } = ready
  const engineId = engineIdOf(libraries, found.version)
  return { driver: { kind: 'native', reason: '' }, engineId, libraryCount: libraries.length }
}

type Wanted = Pick<LoadRequest, 'gpu' | 'libraries' | 'kernels'>

/** @returns why the native engine cannot be used, as a clause, where it cannot */
async function prepare(request: Wanted, kept: Kept | undefined): Promise<ReadyLibraries | string> {
  const loaded = loadEngineAddon()
  if ('reason' in loaded) return loaded.reason
  const addon = parseEngineAddon(loaded.addon)
  if (addon === undefined) return 'the build is not ours'
  const found = kept?.gpu === request.gpu ? kept.found : await findLibraries(request.gpu)
  if (found.type === 'failed') return found.reason
  // The library answers with the processor where a device cannot exist on this system.
  if (request.gpu !== 'auto' && request.gpu !== found.gpu)
    throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'device_absent', gpu: request.gpu })
  const libraries = await readLibraries(filesOf(request, found)).catch(() => undefined)
  const paths = pathsOf(libraries ?? [])
  if (libraries === undefined || paths === undefined) return 'its libraries are incomplete'
  const problem = await pinProblem(libraries)
  if (problem !== undefined) return problem
  if (String(kept?.opened) !== String(digestsOf(libraries))) {
    const opened = await tryOpen(paths)
    const refused = opened.type === 'failed' ? opened.reason : await defaultsProblem(opened.defaults)
    if (refused !== undefined) return refused
  }
  return { addon, paths, libraries, found }
}

function filesOf({ libraries, kernels }: Wanted, found: Found): readonly string[] {
  return found.files.map((file) => {
    const name = kernels === undefined ? basename(file) : withKernels(basename(file), kernels)
    return join(libraries ?? dirname(file), name)
  })
}

function digestsOf(libraries: readonly Library[]): string[] {
  return libraries.map(({ digest }) => digest)
}

/** Written by a host of this daemon; lock-step keeps the file's stamp alone. */
function parseKept(verified: string): Kept | undefined {
  return verified.startsWith('{') ? (JSON.parse(verified) as Kept) : undefined
}
