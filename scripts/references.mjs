/**
 * Builds what the engine is measured against: `npm run references [-- --jobs N]`, and once before `npm run bench:engine`.
 *
 * llama-bench, llama-batched-bench and llama-server of the very llama.cpp that node-llama-cpp ships: only the tools' own sources are
 * compiled, out of the source bundle in the package, and linked with the package's own libraries. So a difference in speed is the
 * driver's alone, never a compiler's. Needs git and a C++ compiler, and no network. Nothing is done while the last build is of the
 * present sources.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { REFERENCES_FOLDER, referencePath, referenceVariant, SOURCE_FOLDER } from '../bench/engine/references.ts'
import { makeEngine, outFolder } from './engine-test.mjs'

const ROOT = path.dirname(import.meta.dirname)
const PACKAGE = path.join(ROOT, 'node_modules', 'node-llama-cpp', 'llama')
const BUNDLE = path.join(PACKAGE, 'gitRelease.bundle')
const SHIPPED = path.join(
  ...[ROOT, 'node_modules', '@node-llama-cpp', `linux-${process.arch}`, 'bins', `linux-${process.arch}`],
)
const COMPILER = process.env['CXX'] ?? 'c++'

const OBJECTS = path.join(REFERENCES_FOLDER, 'objects')
const BIN = path.dirname(referencePath('llama-bench'))
const GENERATED = path.join(REFERENCES_FOLDER, 'generated')

/** As upstream's release build; the definitions are those under which the shipped libraries export what the tools import. */
const FLAGS = '-std=c++17 -O3 -DNDEBUG -DLLAMA_SHARED -DGGML_SHARED -DGGML_BACKEND_SHARED -DLLAMA_SUBPROCESS -w'.split(
  ' ',
)
const INCLUDED = ['include', 'ggml/include', 'common', 'vendor', 'vendor/hash', 'tools/mtmd', 'tools/server', '.']

/** Sources below the bundle's root, as globs, and those of them that belong to other programs. */
const TOOLS = {
  'llama-bench': { sources: ['tools/llama-bench/*.cpp'] },
  'llama-batched-bench': { sources: ['tools/batched-bench/*.cpp'] },
  'llama-server': {
    sources: ['tools/server/*.cpp', 'tools/mtmd/*.cpp', 'tools/mtmd/models/*.cpp', 'vendor/hash/**/*.{cpp,c}'],
    without: /(?:mtmd-cli|deprecation-warning)\.cpp$/,
    generated: ['ui.cpp'],
  },
}
function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

function shippedLibraries() {
  return readdirSync(SHIPPED)
    .filter((file) => file.endsWith('.so'))
    .sort()
}

/** What the object files are of. */
function compiledOf() {
  const compiler = spawnSync(COMPILER, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0]
  return `${[compiler, sha256(readFileSync(BUNDLE)), ...FLAGS, ...INCLUDED].join('\n')}\n`
}

/** What the binaries are of. */
function linkedOf() {
  const libraries = shippedLibraries().map((file) => `${file} ${sha256(readFileSync(path.join(SHIPPED, file)))}`)
  return `${compiledOf()}${[sha256(readFileSync(import.meta.filename)), ...libraries].join('\n')}\n`
}

function isStamped(file, wanted) {
  return existsSync(file) && readFileSync(file, 'utf8') === wanted
}

function missingThing() {
  if (process.platform !== 'linux') return 'the reference binaries are built on Linux only'
  if (!existsSync(BUNDLE)) return 'node-llama-cpp came without its source bundle'
  if (!existsSync(SHIPPED)) return `no libraries are published for linux-${process.arch}`
  const missing = ['git', COMPILER].find((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0)
  return missing === undefined ? undefined : `${missing} is missing`
}

/** Puts the source where it is compiled, and a page without assets in place of the server's user interface. */
function unpack() {
  rmSync(SOURCE_FOLDER, { recursive: true, force: true })
  const { status, stderr } = spawnSync('git', ['clone', '--quiet', BUNDLE, SOURCE_FOLDER], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`git clone of the source bundle failed: ${stderr}`)
  mkdirSync(GENERATED, { recursive: true })
  for (const name of ['ui.h', 'ui.cpp']) {
    const template = readFileSync(path.join(SOURCE_FOLDER, 'tools', 'ui', `${name}.in`), 'utf8')
    const text = template
      .replace(/^#cmakedefine .*$/m, '')
      .replaceAll('@N_ASSETS@', '0')
      .replaceAll('@USE_GZIP@', 'false')
      .replaceAll(/@ASSET_\w+@/g, '')
    writeFileSync(path.join(GENERATED, name), text)
  }
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    let complaints = ''
    child.stderr.on('data', (part) => {
      complaints += String(part)
    })
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(complaints.slice(0, 4_000)))))
  })
}

/** @returns the object file, compiled if it was not yet */
async function compile(source) {
  const object = path.join(OBJECTS, `${path.relative(REFERENCES_FOLDER, source).replaceAll(path.sep, '-')}.o`)
  if (existsSync(object)) return object
  const folders = [GENERATED, ...INCLUDED.map((folder) => path.join(SOURCE_FOLDER, folder))]
  // Upstream compiles this one C file as C++, so that its names cannot meet those of a TLS library.
  const language = source.endsWith('sha1.c') ? ['-x', 'c++'] : source.endsWith('.c') ? ['-x', 'c', '-std=c11'] : []
  await run(COMPILER, [
    ...FLAGS,
    ...folders.map((folder) => `-I${folder}`),
    ...language,
    '-c',
    source,
    '-o',
    `${object}.part`,
  ])
  renameSync(`${object}.part`, object)
  return object
}

async function compileAll(sources, jobs) {
  const [objects, left] = [[], [...sources]]
  const work = async () => {
    for (let source = left.shift(); source !== undefined; source = left.shift()) objects.push(await compile(source))
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return objects.sort()
}

/** The tools look for the CPU libraries beside themselves, and the loader finds the others there too. */
function linkLibraries() {
  rmSync(BIN, { recursive: true, force: true })
  mkdirSync(BIN, { recursive: true })
  for (const file of shippedLibraries()) symlinkSync(path.relative(BIN, path.join(SHIPPED, file)), path.join(BIN, file))
}

function sourcesOf({ sources, without, generated = [] }) {
  const files = sources.flatMap((pattern) => globSync(pattern, { cwd: SOURCE_FOLDER }))
  const own = files.filter((file) => without === undefined || !without.test(file)).sort()
  return [...own.map((file) => path.join(SOURCE_FOLDER, file)), ...generated.map((file) => path.join(GENERATED, file))]
}

async function link(name, objects) {
  const linked = shippedLibraries().filter((file) => /^lib(?:llama|ggml\.|ggml-base)/.test(file))
  const libraries = linked.map((file) => path.join(BIN, file))
  await run(COMPILER, [...objects, ...libraries, '-Wl,-rpath,$ORIGIN', '-pthread', '-ldl', '-o', referencePath(name)])
}

async function buildTool(name, tool, jobs) {
  const startedMs = Date.now()
  await link(name, await compileAll(sourcesOf(tool), jobs))
  console.log(`Built ${name} in ${((Date.now() - startedMs) / 1_000).toFixed(1)} s.`)
}

async function buildTools(jobs, quietly) {
  const [stamp, wanted] = [path.join(REFERENCES_FOLDER, 'stamp'), linkedOf()]
  if (isStamped(stamp, wanted)) {
    if (!quietly) console.log('The reference binaries are up to date.')
    return
  }
  // A build that was cut short goes on where it was; one of other sources starts afresh.
  const [begun, compiled] = [path.join(OBJECTS, 'stamp'), compiledOf()]
  if (!isStamped(begun, compiled)) {
    rmSync(OBJECTS, { recursive: true, force: true })
    mkdirSync(OBJECTS, { recursive: true })
    unpack()
    writeFileSync(begun, compiled)
  }
  linkLibraries()
  for (const [name, tool] of Object.entries(TOOLS)) await buildTool(name, tool, jobs)
  writeFileSync(stamp, wanted)
}

/** Our own loop in plain C++, built like the engine's tests; make knows when that is needed. */
function buildRaw() {
  const binary = path.join(outFolder('plain'), 'bench', 'raw')
  const problem = makeEngine('plain', binary)
  rmSync(referencePath('raw'), { force: true })
  if (problem === undefined) symlinkSync(path.relative(BIN, binary), referencePath('raw'))
  else console.log(`The bare loop in C++ is not built (${problem}).`)
}

/** @returns what is missing, or nothing */
async function buildReferences(jobs, quietly) {
  const missing = missingThing()
  if (missing !== undefined) return missing
  mkdirSync(REFERENCES_FOLDER, { recursive: true })
  await buildTools(jobs, quietly)
  buildRaw()
  return undefined
}

async function main(args) {
  const { values } = parseArgs({
    args,
    options: { jobs: { type: 'string', default: '1' }, quietly: { type: 'boolean', default: false } },
  })
  const missing = await buildReferences(Number(values.jobs) || 1, values.quietly)
  if (missing !== undefined) console.error(`No reference binaries: ${missing}.`)
  else if (!values.quietly) console.log(`They compute with the CPU library ${referenceVariant()}.`)
  return missing === undefined ? 0 : 69
}

process.exitCode = await main(process.argv.slice(2))
