import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadEngineAddon } from '../../../native/engine.ts'
import { builtPaths, llamaVersion, NATIVE_FOLDER, sourcesName } from '../../../native/stamp.ts'
import { buildEngineTests } from '../../support/engine-tests.ts'
import { missing } from '../../support/missing.ts'
import { tempFolder } from '../../support/temp-folder.ts'

type Pins = {
  readonly version: string
  readonly packages: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly defaults: Readonly<Record<string, readonly string[]>>
}

const LIBRARY = /\.(?:so|dylib|dll|metal|metallib)$/
const RUN_LIMIT_MS = 200_000
const ROOT = join(NATIVE_FOLDER, '..')
const pins = parsePins(JSON.parse(readFileSync(join(NATIVE_FOLDER, 'engine', 'pins.json'), 'utf8')))
const built = buildEngineTests()
if ('reason' in built) console.log(`skipped what needs a build: ${built.reason}`)

function parsePins(pins: unknown): Pins {
  return pins as Pins
}

test('libraries are pinned of the version that is installed', () => {
  assert.is(pins.version, llamaVersion())
  for (const digests of Object.values(pins.packages))
    for (const digest of Object.values(digests)) assert.match(digest, /^[0-9a-f]{64}$/)
})

test('every library that is installed is pinned, and is what was pinned', () => {
  const scope = join(ROOT, 'node_modules', '@node-llama-cpp')
  const installed = Object.entries(pins.packages).filter(([name]) => existsSync(join(scope, name, 'bins')))
  assert.ok(installed.length > 0, 'a package of this platform')
  for (const [name, digests] of installed) {
    const bins = join(scope, name, 'bins')
    const files = readdirSync(bins, { recursive: true, encoding: 'utf8' }).filter((file) => LIBRARY.test(file))
    assert.equal(files.sort(), Object.keys(digests))
    for (const file of files)
      assert.is(
        createHash('sha256')
          .update(readFileSync(join(bins, file)))
          .digest('hex'),
        digests[file],
        file,
      )
  }
})

test('without a build there is no engine, and the reason is told', () => {
  const folder = tempFolder()
  assert.equal(loadEngineAddon(folder), { reason: 'not built here' })
})

test('the name of the engine depends on its sources and on the version of its libraries, not on its tests', () => {
  const folder = tempFolder()
  for (const part of ['engine', 'gyp', 'binding.gyp'])
    cpSync(join(NATIVE_FOLDER, part), join(folder, part), { recursive: true })
  for (const header of readdirSync(NATIVE_FOLDER).filter((name) => name.endsWith('.h')))
    cpSync(join(NATIVE_FOLDER, header), join(folder, header))
  const name = sourcesName('cfab_engine', folder)
  assert.is(name, sourcesName('cfab_engine'))
  assert.match(name, new RegExp(` llama${llamaVersion().replaceAll('.', '\\.')}$`))
  writeFileSync(join(folder, 'engine', 'test', 'other.cc'), '')
  assert.is(sourcesName('cfab_engine', folder), name)
  writeFileSync(join(folder, 'engine', 'other.cc'), '')
  assert.is.not(sourcesName('cfab_engine', folder), name)
})

if (existsSync(builtPaths('cfab_engine').stamp))
  test('a build of the present sources is loaded', () => {
    const loaded = loadEngineAddon()
    assert.ok('addon' in loaded, JSON.stringify(loaded))
  })

if ('binary' in built) {
  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    spawnSync(built.binary, args, { encoding: 'utf8', timeout: RUN_LIMIT_MS, env: { ...built.env, ...env } })

  test('the tests in C++ pass', () => {
    const { status, stdout, stderr } = run([])
    assert.is(status, 0, `${stdout}${stderr}`)
    assert.match(stdout, / 0 failed/)
  })

  test('a test in C++ that does not exist is no success', () => assert.is(run(['no test has this name']).status, 1))

  test('the default parameters are those that were pinned, in every process', () => {
    const wanted = pins.defaults[`${process.platform}-${process.arch}`]
    for (let round = 0; round < 5; round++) assert.equal(run(['--defaults']).stdout.trim().split('\n'), wanted)
  })

  test('libraries that cannot be opened are an error with a name, not a crash', () => {
    const folder = tempFolder()
    const from = built.env['CFAB_TEST_LIBRARIES'] ?? missing()
    const files = readdirSync(from).map((name) => join(from, name))
    for (const file of files.filter((path) => !/libllama\./.test(path))) symlinkSync(file, join(folder, basename(file)))
    writeFileSync(join(folder, 'libllama.so'), 'no library')
    const broken = run(['--defaults'], { CFAB_TEST_LIBRARIES: folder })
    assert.is(broken.status, 2)
    assert.match(broken.stderr, /cannot be opened.*libllama\.so/)
    // A library that is whole, but another: its functions are missing.
    const base = files.find((path) => /libggml-base\./.test(path)) ?? missing()
    writeFileSync(join(folder, 'libllama.so'), readFileSync(base))
    assert.match(run(['--defaults'], { CFAB_TEST_LIBRARIES: folder }).stderr, /missing function llama_/)
  })

  test('a library is named by an absolute path', () => {
    const folder = join('node_modules', '@node-llama-cpp')
    const relative = (built.env['CFAB_TEST_LIBRARIES'] ?? missing()).replace(/.*node_modules.@node-llama-cpp/, folder)
    const { status, stderr } = spawnSync(built.binary, ['--defaults'], {
      encoding: 'utf8',
      cwd: ROOT,
      env: { ...built.env, CFAB_TEST_LIBRARIES: relative },
    })
    assert.is(status, 2)
    assert.match(stderr, /not an absolute path/)
  })
}

test.run()
