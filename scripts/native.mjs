/**
 * Builds the native kernels and the native engine: `npm run native`; before tests and benchmarks, which pass `--quietly`; and before a
 * node starts, with `--once`: then nothing is said where it cannot be built, and a build that failed is not tried again.
 *
 * Needs a C++ compiler, make, Python, and for the engine git and tar; no network: all headers come from packages that are installed
 * anyway. Without them it says so in one line, and what is not built has something that takes its place. Nothing is done while the
 * last build is of the present sources.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { builtPaths, NATIVE_FOLDER, sourcesName, stampOf } from '../native/stamp.ts'
import { engineHeaders } from './engine-headers.mjs'

const ROOT = path.dirname(import.meta.dirname)
const GYP = path.join(ROOT, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
const LIMIT_MS = 180_000
const JOBS_MAX = 4
const TOOLS = [process.env['CXX'] ?? 'c++', 'make', 'python3']
const ADDONS = {
  cfab: { name: 'native kernels', instead: 'their TypeScript references run instead' },
  cfab_engine: { name: 'native engine', instead: 'models run through node-llama-cpp instead' },
}

function isUpToDate(addon) {
  const { binary, stamp } = builtPaths(addon)
  const isBuilt = existsSync(binary) && existsSync(stamp)
  return isBuilt && readFileSync(stamp, 'utf8') === stampOf(addon, readFileSync(binary))
}

/** The folder with node_api.h: npm may leave the headers of the `node` package out, or clear them away later. */
function findHeaders() {
  const folders = [
    path.join(ROOT, 'node_modules', 'node-api-headers', 'include'),
    ...globSync(path.join(ROOT, 'node_modules', 'node', 'node_modules', 'node-*', 'include', 'node')),
    path.join(path.dirname(process.execPath), '..', 'include', 'node'),
  ]
  return folders.find((folder) => existsSync(path.join(folder, 'node_api.h')))
}

function missingTool() {
  return TOOLS.find((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0)
}

/** @returns whether node-gyp did it */
function gyp(args, quietly) {
  const options = { cwd: NATIVE_FOLDER, stdio: quietly ? 'ignore' : 'inherit', timeout: LIMIT_MS }
  return spawnSync(process.execPath, [GYP, ...args, '--loglevel=error'], options).status === 0
}

/** Writes the makefiles of both add-ons; @returns what went wrong, or nothing */
function configure(engine, quietly) {
  if (process.platform === 'win32') return 'Windows is not supported yet'
  const headers = findHeaders()
  if (!existsSync(GYP) || headers === undefined) return 'node-gyp or node_api.h is not installed'
  const missing = missingTool()
  if (missing !== undefined) return `${missing} is missing`
  // The folder `gyp` stands for the headers of Node.js; node-gyp would download them otherwise.
  const options = [`--nodedir=${path.join(NATIVE_FOLDER, 'gyp')}`, `--node_api_include=${headers}`]
  const isDone = gyp(['configure', ...options, `--engine_headers=${engine.folder ?? ''}`], quietly)
  return isDone ? undefined : 'node-gyp cannot be configured'
}

/** @returns what went wrong, or nothing */
function build(addon, quietly) {
  const { binary, stamp } = builtPaths(addon)
  rmSync(stamp, { force: true })
  const sources = sourcesName(addon)
  const jobs = Math.min(JOBS_MAX, availableParallelism())
  if (!gyp(['build', addon, `--jobs=${jobs}`], quietly))
    return quietly ? 'the build failed; "npm run native" shows how' : 'the build failed'
  if (sourcesName(addon) !== sources) return 'its sources changed meanwhile'
  writeFileSync(stamp, stampOf(addon, readFileSync(binary)))
  return undefined
}

/** Where a build that failed is remembered: `--once` does not try the same sources again. */
function failurePath(addon) {
  return `${builtPaths(addon).stamp}.failed`
}

function hasFailed(addon) {
  const file = failurePath(addon)
  return existsSync(file) && readFileSync(file, 'utf8') === sourcesName(addon)
}

/** @returns whether it is there now */
function provide(addon, problemBefore, mode) {
  const { name, instead } = ADDONS[addon]
  const startedMs = Date.now()
  if (problemBefore === undefined && mode === '--once') console.log(`Building the ${name}, once ...`)
  const problem = problemBefore ?? build(addon, mode !== undefined)
  rmSync(failurePath(addon), { force: true })
  if (problem === undefined) console.log(`Built the ${name} in ${((Date.now() - startedMs) / 1000).toFixed(1)} s.`)
  else if (problemBefore === undefined) writeFileSync(failurePath(addon), sourcesName(addon))
  if (problem !== undefined && !(mode === '--once' && problemBefore !== undefined))
    console.log(`The ${name} cannot be built (${problem}); ${instead}.`)
  return problem === undefined
}

/** @param mode  undefined, `--quietly` or `--once` */
function main(mode) {
  const stale = Object.keys(ADDONS).filter((addon) => !isUpToDate(addon))
  const wanted = mode === '--once' ? stale.filter((addon) => !hasFailed(addon)) : stale
  if (wanted.length === 0) {
    if (mode === undefined) console.log('The native kernels and the native engine are up to date.')
    return 0
  }
  const engine = wanted.includes('cfab_engine') ? engineHeaders() : {}
  const problem = configure(engine, mode !== undefined)
  const problems = { cfab: problem, cfab_engine: problem ?? engine.problem }
  const provided = wanted.map((addon) => provide(addon, problems[addon], mode))
  return mode !== undefined || provided.every(Boolean) ? 0 : 69
}

process.exitCode = main(process.argv[2])
