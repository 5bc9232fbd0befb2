/** Which of llama.cpp's libraries a process opened, and whether they are, byte for byte, those that the native engine was made for. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { NATIVE_FOLDER } from '../../native/stamp.ts'
import type { LoadRequest } from '../backend.ts'
import { fileDigest } from '../model-file.ts'
import type { LibraryPaths } from './addon.ts'

/** A library that decides what is computed. */
export type Library = { readonly name: string; readonly path: string; readonly digest: string }

/** Settings that give other logits. */
type Asked = Pick<LoadRequest, 'kvType' | 'flashAttention'>

/** What native/engine/pins.json holds. */
type Pins = {
  /** By package, then by path below its folder of libraries: sha256, lowercase hex. */
  readonly packages: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** By platform: bytes of the default-parameter structs. */
  readonly defaults: Readonly<Record<string, readonly string[]>>
}

/** Of ggml and llama.cpp; not the binding, nor the helpers that only the binding calls. */
const LIBRARY = /^(?:lib)?(?:ggml|llama)(?!-addon|-common)[^/]*\.(?:so|dylib|dll)(?:\.[\d.]+)?$/
const BACKEND = /^(?:lib)?ggml-(?!base\b)([^.]+)/
/** The processor's, of several that a package has. */
const KERNELS = /^((?:lib)?ggml-cpu-)(.+)(\.(?:so|dylib|dll))$/
const ENGINE_ID_CHARS_MAX = 96
const DIGEST_CHARS = 16

/** Paths of the libraries that this process has open. */
export function openedFiles(): string[] {
  // Looking up the names of open connections could take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  return parseObjects(process.report.getReport()).filter((file) => LIBRARY.test(path.basename(file)))
}

function parseObjects(report: object): string[] {
  return 'sharedObjects' in report ? (report.sharedObjects as string[]) : []
}

export async function readLibraries(files: readonly string[]): Promise<readonly Library[]> {
  return Promise.all(
    files.map(async (file) => ({ name: path.basename(file), path: file, digest: await fileDigest(file) })),
  )
}

/** @returns undefined where one is missing */
export function pathsOf(libraries: readonly Library[]): LibraryPaths | undefined {
  const named = (pattern: RegExp): string | undefined => libraries.find(({ name }) => pattern.test(name))?.path
  const [ggmlBase, ggml, llama] = [/^(?:lib)?ggml-base\./, /^(?:lib)?ggml\./, /^(?:lib)?llama\./].map(named)
  if (ggmlBase === undefined || ggml === undefined || llama === undefined) return undefined
  const backends = libraries.filter(({ name }) => BACKEND.test(name)).sort((a, b) => rankOf(a) - rankOf(b))
  return { ggmlBase, ggml, llama, backends: backends.map(({ path: file }) => file) }
}

/** The file beside that has other kernels for the processor; any other library is the same for all. */
export function withKernels(name: string, kernels: string): string {
  return name.replace(KERNELS, `$1${kernels}$3`)
}

/** Kernels that this version has for the system, such as `haswell`; this processor may lack what some of them need. */
export async function knownKernels(): Promise<readonly string[]> {
  const { packages } = await readPins()
  const files = Object.keys(packages[`${process.platform}-${process.arch}`] ?? {})
  return files.flatMap((file) => KERNELS.exec(path.posix.basename(file))?.[2] ?? []).sort()
}

/** The processor's first. */
function rankOf({ name }: Library): number {
  return /ggml-cpu/.test(name) ? 0 : 1
}

/**
 * Says why the libraries are not those of the table, as a clause.
 *
 * Why: the engine calls them by the headers of one version; in another build the same call may mean something else.
 */
export async function pinProblem(libraries: readonly Library[]): Promise<string | undefined> {
  const { packages } = await readPins()
  const known = new Set(
    Object.values(packages).flatMap((files) =>
      Object.entries(files).map(([file, digest]) => `${path.posix.basename(file)} ${digest}`),
    ),
  )
  const other = libraries.find(({ name, digest }) => !known.has(`${name} ${digest}`))
  return other && `${other.name} is not the build that the native engine was made for`
}

/** @returns why the default parameters are not those of the table, as a clause */
export async function defaultsProblem(defaults: string): Promise<string | undefined> {
  const { defaults: table } = await readPins()
  const wanted = table[`${process.platform}-${process.arch}`]
  if (wanted === undefined)
    return `nothing is known of the libraries' parameters on ${process.platform}-${process.arch}`
  const isSame = defaults.trim() === wanted.join('\n')
  return isSame ? undefined : "the libraries' parameters are not laid out as in the headers of the native engine"
}

async function readPins(): Promise<Pins> {
  return parsePins(JSON.parse(await readFile(path.join(NATIVE_FOLDER, 'engine', 'pins.json'), 'utf8')))
}

/** The file is part of this program. */
function parsePins(value: unknown): Pins {
  return value as Pins
}

/**
 * Names what decides the last bits of a logit: version, libraries, the kernels that run, system, and what was asked for beside the usual.
 *
 * The same for every driver of the same libraries: they compute the same.
 *
 * @returns at most 96 ASCII characters
 */
export function engineIdOf(libraries: readonly Library[], version: string, asked: Asked = {}): string {
  const lines = libraries.map(({ name, digest }) => `${name} ${digest}`).sort()
  const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, DIGEST_CHARS)
  const kernels = libraries.map(({ name }) => BACKEND.exec(name)?.[1] ?? '').filter((name) => name !== '')
  const id = `llama.cpp/${version} ${digest} ${kernels.sort().join('+')} ${process.platform}-${process.arch}`
  const { kvType = 'f16', flashAttention = true } = asked
  // A receipt must not name the engine that others have for logits that it cannot compute.
  const unusual = `${kvType === 'f16' ? '' : ` kv-${kvType}`}${flashAttention ? '' : ' fa-off'}`
  return id.slice(0, ENGINE_ID_CHARS_MAX - unusual.length) + unusual
}
