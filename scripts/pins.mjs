/**
 * Writes native/engine/pins.json: what the prebuilt libraries of node-llama-cpp must be, byte for byte, before the engine opens them.
 *
 * Run `node scripts/pins.mjs` after another version of node-llama-cpp was chosen in package.json and `npm run native` was run. It
 * fetches every platform's package with `npm pack`, one at a time (about 0.8 GB in all, kept nowhere), and hashes the files that a
 * process opens. `node scripts/pins.mjs linux-x64 ...` does only those packages and keeps what the table says of the others.
 *
 * The default parameters can be read on this machine's own platform only: rows of the others stay as they are while the version
 * stays, and are gone with another one; an engine without a row is not used. Run it once on each platform.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeEngine, outFolder, prebuiltFolder } from './engine-test.mjs'

const ROOT = path.dirname(import.meta.dirname)
const TABLE = path.join(ROOT, 'native', 'engine', 'pins.json')
const SCOPE = '@node-llama-cpp/'
const LIBRARY = /\.(?:so|dylib|dll|metal|metallib)$/
const FETCH_LIMIT_MS = 900_000

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

/** Fetches a package into `folder`; @returns whether the registry has it and it is what the lock file names, where it does. */
function fetchPackage(name, version, folder) {
  const args = ['pack', `${SCOPE}${name}@${version}`, '--json', '--loglevel=error', `--pack-destination=${folder}`]
  const { status, stdout } = spawnSync('npm', args, { encoding: 'utf8', timeout: FETCH_LIMIT_MS, cwd: folder })
  if (status !== 0) return false
  const [{ filename, integrity }] = JSON.parse(stdout)
  const locked = lockedIntegrity(name, version)
  if (locked !== undefined && locked !== integrity) throw new Error(`${name} is not what package-lock.json names`)
  return spawnSync('tar', ['-xzf', path.join(folder, filename), '-C', folder]).status === 0
}

function lockedIntegrity(name, version) {
  const { packages } = readJson(path.join(ROOT, 'package-lock.json'))
  const entry = packages[`node_modules/${SCOPE}${name}`]
  // An override puts another package under the name.
  const isItself = entry?.version === version && entry.name === undefined
  return isItself ? entry.integrity : undefined
}

/** @returns the digests of a package's libraries by their path below its folder `bins`, or undefined when it cannot be had */
function digestsOf(name, version) {
  const folder = mkdtempSync(path.join(tmpdir(), 'cfab-pins-'))
  try {
    if (!fetchPackage(name, version, folder)) return undefined
    const bins = path.join(folder, 'package', 'bins')
    const files = readdirSync(bins, { recursive: true, encoding: 'utf8' }).filter((file) => LIBRARY.test(file))
    return Object.fromEntries(files.sort().map((file) => [file.replaceAll('\\', '/'), sha256(path.join(bins, file))]))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a process of this platform finds in the default-parameter structs, by the program that the engine's tests are. */
function defaultsHere() {
  const problem = makeEngine('plain', path.join(outFolder('plain'), 'tests'))
  if (problem !== undefined) throw new Error(`the default parameters cannot be read: ${problem}`)
  const env = { ...process.env, CFAB_TEST_LIBRARIES: prebuiltFolder() }
  const { status, stdout } = spawnSync(path.join(outFolder('plain'), 'tests'), ['--defaults'], {
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error('the default parameters cannot be read')
  return stdout.trim().split('\n')
}

function main(wanted) {
  const manifest = readJson(path.join(ROOT, 'node_modules', 'node-llama-cpp', 'package.json'))
  const names = Object.keys(manifest.optionalDependencies)
    .filter((name) => name.startsWith(SCOPE))
    .map((name) => name.slice(SCOPE.length))
  const before = readJson(TABLE)
  const kept = before?.version === manifest.version ? before : { packages: {}, defaults: {} }
  const table = { version: manifest.version, packages: { ...kept.packages }, defaults: { ...kept.defaults } }
  for (const name of names.filter((one) => wanted.length === 0 || wanted.includes(one))) {
    const digests = digestsOf(name, manifest.version)
    console.log(`${name}: ${digests === undefined ? 'cannot be fetched' : `${Object.keys(digests).length} files`}`)
    if (digests !== undefined) table.packages[name] = digests
  }
  table.defaults[`${process.platform}-${process.arch}`] = defaultsHere()
  writeFileSync(TABLE, `${JSON.stringify(table, undefined, 2)}\n`)
}

main(process.argv.slice(2))
