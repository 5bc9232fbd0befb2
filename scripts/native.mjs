/**
 * Builds the native kernels: `npm run native`, and once before tests and benchmarks, which pass `--quietly`.
 *
 * Needs a C++ compiler, make and Python, and no network: the headers come from a package that is installed anyway. Without them
 * it says so in one line and the TypeScript references run. Nothing is done while the last build is of the present sources.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { builtPaths, NATIVE_FOLDER, stampOf } from '../native/stamp.ts'

const ROOT = path.dirname(import.meta.dirname)
const LIMIT_MS = 180_000
const TOOLS = [process.env['CXX'] ?? 'c++', 'make', 'python3']

function isUpToDate() {
  const { binary, stamp } = builtPaths()
  const isBuilt = existsSync(binary) && existsSync(stamp)
  return isBuilt && readFileSync(stamp, 'utf8') === stampOf(readFileSync(binary))
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

/** @returns what went wrong, or nothing */
function build(quietly) {
  if (process.platform === 'win32') return 'Windows is not supported yet'
  const [gyp, headers] = [path.join(ROOT, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'), findHeaders()]
  if (!existsSync(gyp) || headers === undefined) return 'node-gyp or node_api.h is not installed'
  const missing = missingTool()
  if (missing !== undefined) return `${missing} is missing`
  const { binary, stamp } = builtPaths()
  rmSync(stamp, { force: true })
  // The folder `gyp` stands for the headers of Node.js; node-gyp would download them otherwise.
  const options = [`--nodedir=${path.join(NATIVE_FOLDER, 'gyp')}`, `--node_api_include=${headers}`, '--loglevel=error']
  const { status } = spawnSync(process.execPath, [gyp, 'rebuild', ...options], {
    cwd: NATIVE_FOLDER,
    stdio: quietly ? 'ignore' : 'inherit',
    timeout: LIMIT_MS,
  })
  if (status !== 0) return quietly ? 'the build failed; "npm run native" shows how' : 'the build failed'
  writeFileSync(stamp, stampOf(readFileSync(binary)))
  return undefined
}

function main(quietly) {
  if (isUpToDate()) {
    if (!quietly) console.log('The native kernels are up to date.')
    return 0
  }
  const startedMs = Date.now()
  const problem = build(quietly)
  if (problem === undefined)
    console.log(`Built the native kernels in ${((Date.now() - startedMs) / 1000).toFixed(1)} s.`)
  else console.log(`The native kernels are not built (${problem}); their TypeScript references run instead.`)
  return problem === undefined || quietly ? 0 : 69
}

process.exitCode = main(process.argv.includes('--quietly'))
