/**
 * Builds and runs the C++ tests of the engine: `npm run engine:test -- [options] [part of a test's name...]`.
 *
 *   --asan | --tsan     with AddressSanitizer and UBSan, or with ThreadSanitizer
 *   --only=a,b          only test files that begin so; sources of the engine that do not compile are left out
 *   --libraries=folder  of prebuilt libraries; default: those of node-llama-cpp for this processor
 *   --model=file        default: models/data/cfab-tiny-q8_0.gguf
 *   --build             builds only, and prints as JSON what it would run
 *
 * Objects are kept under native/build/engine, so that a second run builds only what changed. Exit code: that of the tests;
 * 69 where a tool or a package is missing, 1 where a source does not compile.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { NATIVE_FOLDER } from '../native/stamp.ts'
import { engineHeaders, vocabularyFiles } from './engine-headers.mjs'

const ROOT = path.dirname(import.meta.dirname)
const MAKEFILE = path.join(NATIVE_FOLDER, 'engine', 'test', 'Makefile')
const SUPPRESSIONS = path.join(NATIVE_FOLDER, 'engine', 'test', 'tsan.supp')
const COMPILER = process.env['CXX'] ?? 'c++'
const CANNOT = 69
const FAILED = 'the build failed'

/** Where make leaves the objects and binaries of a mode. */
export function outFolder(mode) {
  return path.join(NATIVE_FOLDER, 'build', 'engine', mode)
}

/**
 * Runs the makefile of the engine's tests and benchmarks.
 *
 * @param goal     `objects`, `benches`, or a file of the mode's folder
 * @returns        what went wrong, or nothing
 */
export function makeEngine(mode, goal, { only = [], keepGoing = false, quietly = true } = {}) {
  if (spawnSync(COMPILER, ['--version'], { stdio: 'ignore' }).status !== 0) return `${COMPILER} is missing`
  const headers = engineHeaders()
  if (headers.problem !== undefined) return headers.problem
  const out = outFolder(mode)
  mkdirSync(out, { recursive: true })
  const variables = { CXX: COMPILER, OUT: out, MODE: mode, HEADERS: headers.folder, ONLY: only.join(' ') }
  const args = ['-f', MAKEFILE, '-C', out, '-j2', '--no-print-directory', ...(keepGoing ? ['-k'] : []), goal]
  const { status, error } = spawnSync('make', [...args, ...Object.entries(variables).map((pair) => pair.join('='))], {
    stdio: ['ignore', quietly ? 'ignore' : 'inherit', 'inherit'],
  })
  if (error !== undefined) return 'make is missing'
  return status === 0 ? undefined : FAILED
}

function binaryName(only) {
  return only.length === 0 ? 'tests' : `tests-partial-${only.join('-')}`
}

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      asan: { type: 'boolean' },
      tsan: { type: 'boolean' },
      build: { type: 'boolean' },
      only: { type: 'string', default: '' },
      libraries: { type: 'string', default: prebuiltFolder() },
      model: { type: 'string', default: path.join(ROOT, 'models', 'data', 'cfab-tiny-q8_0.gguf') },
    },
  })
  const mode = values.asan === true ? 'asan' : values.tsan === true ? 'tsan' : 'plain'
  return { ...values, mode, only: values.only.split(',').filter(Boolean), filters: positionals }
}

/** The libraries that run on every machine of this kind: the tests need no device. */
export function prebuiltFolder() {
  const system = { darwin: 'mac', win32: 'win' }[process.platform] ?? process.platform
  const name = { 'mac-arm64': 'mac-arm64-metal', 'linux-arm': 'linux-armv7l' }[`${system}-${process.arch}`]
  const kind = name ?? `${system}-${process.arch}`
  return path.join(ROOT, 'node_modules', '@node-llama-cpp', kind, 'bins', kind)
}

function main() {
  const { mode, only, filters, libraries, model, build } = parse()
  // Objects first, all that compile: while others write, one broken file does not stop the tests of another.
  if (only.length > 0) makeEngine(mode, 'objects', { only, keepGoing: true, quietly: false })
  const binary = path.join(outFolder(mode), binaryName(only))
  const problem = makeEngine(mode, binary, { only, quietly: false })
  if (problem !== undefined) {
    console.error(`The tests of the engine are not built (${problem}).`)
    return problem === FAILED ? 1 : CANNOT
  }
  if (build === true) {
    const vocabularies = vocabularyFiles().folder ?? ''
    console.log(JSON.stringify({ binary, vocabularies, libraries, model }))
    return 0
  }
  const env = {
    ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1',
    TSAN_OPTIONS: `suppressions=${SUPPRESSIONS} second_deadlock_stack=1`,
    ...process.env,
    CFAB_TEST_LIBRARIES: libraries,
    CFAB_TEST_MODEL: model,
  }
  return spawnSync(binary, filters, { stdio: 'inherit', env }).status ?? 1
}

if (import.meta.main) process.exitCode = main()
