/** What a built add-on was made from: it is loaded only where this still holds. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** The kernels, which compute what the TypeScript references do, and the engine, which runs models in llama.cpp. */
export type Addon = 'cfab' | 'cfab_engine'

/** All that a build reads, of this folder. */
const SOURCES: Record<Addon, RegExp> = {
  cfab: /^[^/]+\.(?:cc|h|gyp)$|^gyp\/[^/]+\.gypi$/,
  cfab_engine: /^engine\/[^/]+\.(?:cc|h)$|^[^/]+\.(?:h|gyp)$|^gyp\/[^/]+\.gypi$/,
}
const FOLDERS = ['', 'engine', 'gyp']
/** The version of Node-API that the add-ons ask for: a binary serves every Node.js that has it. */
const NODE_API = 8

export const NATIVE_FOLDER = import.meta.dirname

/** Where a build leaves its result. */
export function builtPaths(addon: Addon, folder = NATIVE_FOLDER): { readonly binary: string; readonly stamp: string } {
  return { binary: join(folder, 'build', 'Release', `${addon}.node`), stamp: join(folder, 'build', `${addon}.stamp`) }
}

/** Names the sources and the platform: a build made under another name is out of date. */
export function sourcesName(addon: Addon, folder = NATIVE_FOLDER): string {
  const digest = createHash('sha256')
  for (const file of sourceFiles(folder).filter((name) => SOURCES[addon].test(name))) {
    const text = readFileSync(join(folder, file))
    digest.update(`${file} ${text.length}\n`).update(text)
  }
  // The engine is compiled against the headers in that package, and for its libraries.
  const libraries = addon === 'cfab_engine' ? ` llama${llamaVersion()}` : ''
  return `${digest.digest('hex')} ${process.platform}-${process.arch}-napi${NODE_API}${libraries}`
}

function sourceFiles(folder: string): string[] {
  const names = FOLDERS.flatMap((part) =>
    readdirSync(join(folder, part)).map((name) => (part ? `${part}/${name}` : name)),
  )
  return names.sort()
}

/** The digest of the binary too: one that was cut short crashes the process that loads it, instead of failing. */
export function stampOf(addon: Addon, binary: Uint8Array, folder = NATIVE_FOLDER): string {
  return `${sourcesName(addon, folder)} ${createHash('sha256').update(binary).digest('hex')}\n`
}

/** @returns the version of node-llama-cpp, or '' where it is not installed */
export function llamaVersion(): string {
  try {
    const entry = createRequire(import.meta.url).resolve('node-llama-cpp')
    const text = readFileSync(join(entry, '..', '..', 'package.json'), 'utf8')
    return parseVersion(JSON.parse(text))
  } catch {
    return ''
  }
}

function parseVersion(manifest: { readonly version?: unknown }): string {
  return typeof manifest.version === 'string' ? manifest.version : ''
}
