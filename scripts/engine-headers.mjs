/** Headers of llama.cpp and ggml, from the source that node-llama-cpp brings with it: exactly those of its prebuilt libraries. */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, globSync, mkdirSync, openSync, readSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { NATIVE_FOLDER } from '../native/stamp.ts'

const BUNDLE = path.join(path.dirname(NATIVE_FOLDER), 'node_modules', 'node-llama-cpp', 'llama', 'gitRelease.bundle')
/** Outside of what node-gyp builds; nothing of it becomes part of this repository. */
const FOLDER = path.join(NATIVE_FOLDER, 'build', 'llama.cpp')
/** A bundle's text part names its commit in its second line. */
const HEAD_BYTES = 256

/** @returns the commit in the bundle, or undefined where there is no bundle that git could read */
function commitOf(bundle) {
  if (!existsSync(bundle)) return undefined
  const head = Buffer.alloc(HEAD_BYTES)
  const file = openSync(bundle, 'r')
  readSync(file, head)
  closeSync(file)
  return /^# v\d git bundle\n(?:@.*\n)*([0-9a-f]{40,64}) /.exec(head.toString('latin1'))?.[1]
}

function git(...args) {
  return spawnSync('git', args, { stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 256 * 1_048_576 })
}

/**
 * Unpacks files of the bundle's commit into one flat folder.
 *
 * @returns what went wrong, or nothing
 */
function extract(paths, extension, folder) {
  const [clone, out] = [`${folder}.${process.pid}.git`, `${folder}.${process.pid}`]
  mkdirSync(out, { recursive: true })
  try {
    if (git('--version').status !== 0) return 'git is missing'
    if (git('clone', '--quiet', '--bare', BUNDLE, clone).status !== 0) return 'git cannot read the source of llama.cpp'
    const archive = git('-C', clone, 'archive', 'HEAD', ...paths)
    const unpacked = spawnSync('tar', ['-xf', '-', '-C', out], { input: archive.stdout })
    if (archive.status !== 0 || unpacked.status !== 0) return 'the source of llama.cpp cannot be unpacked'
    for (const file of paths.flatMap((part) => globSync(path.join(out, part, `*${extension}`))))
      renameSync(file, path.join(out, path.basename(file)))
    for (const part of paths) rmSync(path.join(out, part.split('/')[0]), { recursive: true, force: true })
    // Somebody else may have been faster: theirs are the same.
    if (!existsSync(folder)) renameSync(out, folder)
    return undefined
  } finally {
    for (const left of [clone, out]) rmSync(left, { recursive: true, force: true })
  }
}

/** @returns the folder of a part of the source, taken out of the package once for each version of it, or the problem */
function provide(name, paths, extension) {
  const commit = commitOf(BUNDLE)
  if (commit === undefined) return { problem: 'the source of llama.cpp is not installed' }
  const folder = path.join(FOLDER, `${commit.slice(0, 12)}-${name}`)
  if (existsSync(folder)) return { folder }
  const problem = extract(paths, extension, folder)
  return problem === undefined ? { folder } : { problem }
}

export function engineHeaders() {
  return provide('headers', ['include', 'ggml/include'], '.h')
}

/** Vocabularies of many models, without weights: for tests. */
export function vocabularyFiles() {
  return provide('vocabularies', ['models'], '.gguf')
}
