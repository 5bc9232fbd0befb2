/** llama.cpp's own sources, of the version that runs, out of the bundle that its package carries: templates and vocabularies. */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from './temp-folder.ts'

const BUNDLE = join(import.meta.dirname, '../../node_modules/node-llama-cpp/llama/gitRelease.bundle')
const FILE_BYTES_MAX = 32 * 1_048_576

export type LlamaSource = {
  text(path: string): string
  list(folder: string): readonly string[]
  /** @returns the path of a copy on disk */
  file(path: string): string
}

let opened: LlamaSource | undefined

/** @returns undefined, with the reason printed, where git or the bundle is absent */
export function llamaSource(): LlamaSource | undefined {
  opened ??= open()
  return opened
}

function open(): LlamaSource | undefined {
  if (!existsSync(BUNDLE)) return skipped('the package carries no sources')
  const folder = tempFolder()
  try {
    execFileSync('git', ['clone', '-q', '--bare', BUNDLE, join(folder, 'llama.git')], { stdio: 'pipe' })
  } catch {
    return skipped('git is absent or cannot read them')
  }
  const git = (...args: readonly string[]): Buffer =>
    execFileSync('git', ['-C', join(folder, 'llama.git'), ...args], { maxBuffer: FILE_BYTES_MAX })
  return {
    text: (path) => git('show', `HEAD:${path}`).toString(),
    list: (name) => git('ls-tree', '--name-only', `HEAD:${name}`).toString().trim().split('\n'),
    file(path) {
      const copy = join(folder, path.replaceAll('/', '_'))
      if (!existsSync(copy)) writeFileSync(copy, git('show', `HEAD:${path}`))
      return copy
    },
  }
}

function skipped(reason: string): undefined {
  process.stdout.write(`skipped: llama.cpp's sources cannot be had: ${reason}\n`)
  return undefined
}
