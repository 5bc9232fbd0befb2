/** Holds package.json and the lock file to what a fresh clone on any platform needs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importsOf, read, sources } from './source.ts'

type Versions = Readonly<Record<string, string>>
type Entry = {
  readonly version?: string
  readonly name?: string
  readonly resolved?: string
  readonly os?: readonly string[]
  readonly optionalDependencies?: Versions
}
type Manifest = { readonly dependencies: Versions; readonly devDependencies: Versions; readonly overrides: Versions }

const MANIFEST: Manifest = JSON.parse(read('package.json'))
const LOCK: Readonly<Record<string, Entry>> = JSON.parse(read('package-lock.json')).packages
/** Used by npm scripts or by the compiler, not imported. */
const TOOLS = ['@biomejs/biome', '@types/node', 'node', 'node-api-headers', 'node-gyp', 'typescript']

test('the lock file names no registry', () => {
  const hosts = Object.entries(LOCK).filter(([, entry]) => entry.resolved !== undefined)
  assert.equal(hosts, [])
})

test('the lock file has every optional package, also those of other platforms', () => {
  const named = Object.values(LOCK).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
  const missing = named.filter((name) => LOCK[`node_modules/${name}`]?.version === undefined)
  assert.equal([...new Set(missing)], [], 'run "npm run lock"')
})

test('no GPU engine is installed unasked', () => {
  const engines = Object.keys(LOCK['node_modules/node-llama-cpp']?.optionalDependencies ?? {})
  const gpu = engines.filter((name) => /cuda|vulkan/.test(name))
  assert.ok(gpu.length > 0, 'the engine has GPU packages')
  for (const name of gpu) {
    const entry = LOCK[`node_modules/${name}`]
    const platform = name.includes('/win-') ? 'win32' : 'linux'
    assert.not.ok(entry?.os?.includes(platform), `${name} stands for a package that ${platform} does not install`)
    assert.is(MANIFEST.overrides[name], `npm:${entry?.name}@${MANIFEST.dependencies['node-llama-cpp']}`)
  }
})

test('every dependency is used, and every package that is used is a dependency', () => {
  const product = new Set(packagesOf('{core,native,models,node}/**/*.ts'))
  const all = new Set([...product, ...packagesOf('{bench,test,examples}/**/*.ts')])
  const { dependencies, devDependencies } = MANIFEST
  assert.equal([...product].filter((name) => !(name in dependencies)).sort(), [], 'used by the product')
  assert.equal(
    [...all].filter((name) => !(name in dependencies || name in devDependencies)).sort(),
    [],
    'used by tests',
  )
  assert.equal(
    Object.keys(dependencies).filter((name) => !product.has(name)),
    [],
    'used by nothing',
  )
  assert.equal(
    Object.keys(devDependencies).filter((name) => !all.has(name) && !TOOLS.includes(name)),
    [],
    'used by no test',
  )
})

/** The packages that the files import, by name. */
function packagesOf(pattern: string): readonly string[] {
  return sources(pattern)
    .flatMap(({ text }) => importsOf(text))
    .filter((specifier) => /^@?[a-z]/.test(specifier) && !specifier.startsWith('node:'))
    .map((specifier) =>
      specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/'),
    )
}

test.run()
