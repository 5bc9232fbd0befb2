/** What a built add-on was made from: it is loaded only where this still holds. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** All that a build reads, of this folder. */
const SOURCE = /\.(?:cc|h|gyp|gypi)$/
/** The version of Node-API that the add-on asks for: a binary serves every Node.js that has it. */
const NODE_API = 8

export const NATIVE_FOLDER = import.meta.dirname

/** Where a build leaves its result. */
export function builtPaths(folder = NATIVE_FOLDER): { readonly binary: string; readonly stamp: string } {
  return { binary: join(folder, 'build', 'Release', 'cfab.node'), stamp: join(folder, 'build', 'stamp') }
}

/** Names the sources and the platform: a build made under another name is out of date. */
export function sourcesName(folder = NATIVE_FOLDER): string {
  const digest = createHash('sha256')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  for (const file of files.filter((name) => SOURCE.test(name) && !name.startsWith('build')).sort()) {
    const text = readFileSync(join(folder, file))
    digest.update(`${file} ${text.length}\n`).update(text)
  }
  return `${digest.digest('hex')} ${process.platform}-${process.arch}-napi${NODE_API}`
}

/** The digest of the binary too: one that was cut short crashes the process that loads it, instead of failing. */
export function stampOf(binary: Uint8Array, folder = NATIVE_FOLDER): string {
  return `${sourcesName(folder)} ${createHash('sha256').update(binary).digest('hex')}\n`
}
