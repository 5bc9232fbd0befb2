import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  defaultsProblem,
  engineIdOf,
  type Library,
  openedFiles,
  pathsOf,
  pinProblem,
  readLibraries,
} from '../../../models/native/libraries.ts'
import { type Found, findLibraries } from '../../../models/native/probe.ts'
import { missing } from '../../support/missing.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { within } from '../../support/within.ts'

const library = (name: string, digest = 'ab'.repeat(32)): Library => ({ name, path: `/libs/${name}`, digest })
const SOME = ['libggml-cpu-zen4.so', 'libllama.v0.5.0.so', 'libggml-base.so', 'libggml.v0.5.0.so'].map((name) =>
  library(name),
)

const test = suite<{ found: Found }>('native libraries')

test.before(async (context) => {
  const found = await findLibraries('off')
  context.found = found.type === 'found' ? found : missing(found.reason)
})

test('the libraries that fit this machine are found in a process of their own', ({ found }) => {
  assert.is(found.gpu, 'off')
  assert.match(found.version, /\d/)
  const names = found.files.map((file) => basename(file)).sort()
  assert.ok(names.some((name) => name.includes('ggml-cpu')))
  assert.is(names.filter((name) => name.includes('addon') || name.includes('common')).length, 0)
  assert.equal(openedFiles(), [])
})

test('libraries as they were shipped are those of the table', ({ found }) =>
  within(20_000, async () => {
    assert.is(await pinProblem(await readLibraries(found.files)), undefined)
  })())

test('a library with one other byte is named', ({ found }) =>
  within(20_000, async () => {
    const folder = tempFolder()
    const files = found.files.map((file) => join(folder, basename(file)))
    for (const [index, file] of found.files.entries()) cpSync(file, files[index] ?? missing())
    const changed = files.find((file) => file.includes('libllama')) ?? missing()
    const bytes = readFileSync(changed)
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    writeFileSync(changed, bytes)
    const problem = await pinProblem(await readLibraries(files))
    assert.ok(problem?.startsWith(basename(changed)))
  })())

test('a digest under another name is another library', async () => {
  const [first] = SOME
  assert.match((await pinProblem([first ?? missing()])) ?? '', /libggml-cpu-zen4/)
})

test('default parameters that are laid out otherwise are refused', async () => {
  assert.match((await defaultsProblem('00')) ?? '', /parameters/)
})

test('paths are told apart by name, the backend of the processor before devices', () => {
  const paths = pathsOf([library('libggml-cuda.so'), ...SOME]) ?? missing()
  assert.equal(paths, {
    ggmlBase: '/libs/libggml-base.so',
    ggml: '/libs/libggml.v0.5.0.so',
    llama: '/libs/libllama.v0.5.0.so',
    backends: ['/libs/libggml-cpu-zen4.so', '/libs/libggml-cuda.so'],
  })
  assert.is(pathsOf(SOME.slice(1, 3)), undefined)
})

test('an engine is named by version, libraries, kernels and system, whatever their order', () => {
  const id = engineIdOf(SOME, 'v0.5.0')
  assert.match(id, /^llama\.cpp\/v0\.5\.0 [0-9a-f]{16} cpu-zen4 [a-z0-9]+-[a-z0-9]+$/)
  assert.is(engineIdOf([...SOME].reverse(), 'v0.5.0'), id)
  assert.is.not(engineIdOf([...SOME.slice(1), library('libggml-cpu-zen4.so', 'cd'.repeat(32))], 'v0.5.0'), id)
  assert.match(engineIdOf([...SOME, library('libggml-cuda.so')], 'v0.5.0'), / cpu-zen4\+cuda /)
  assert.ok(engineIdOf(SOME, 'v'.repeat(200)).length <= 96)
})

test('settings that give other logits are part of the name, whatever its length', () => {
  const id = engineIdOf(SOME, 'v0.5.0')
  assert.is(engineIdOf(SOME, 'v0.5.0', { kvType: 'f16', flashAttention: true }), id)
  assert.is(engineIdOf(SOME, 'v0.5.0', { kvType: 'q8_0' }), `${id} kv-q8_0`)
  assert.is(engineIdOf(SOME, 'v0.5.0', { flashAttention: false }), `${id} fa-off`)
  const long = engineIdOf(SOME, 'v'.repeat(200), { kvType: 'q8_0' })
  assert.is(long.length, 96)
  assert.ok(long.endsWith(' kv-q8_0'))
})

test.run()
