/** Finds what a reviewer would have to look for: tests that never run, escapes from the types, dead files, notes to oneself. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ALIASES, codeOnly, importsOf, read, resolveImport, type Source, sources } from './source.ts'

const CODE = '{bin,core,native,models,node,bench,scripts,test,examples}/**/*.{ts,js,mjs}'
/** Files that something outside the code starts or reads. */
/** What applications import, the command line, and the programs of the compute host, its thread and its probe. */
const ENTRIES = [
  'core/index.ts',
  'node/main.ts',
  'models/host.ts',
  'models/onnx-worker.ts',
  'models/native/probe-child.ts',
]
/** This file names what it looks for. */
const SELF = 'test/tidy/files.test.ts'

type Rule = { readonly name: string; readonly pattern: RegExp; readonly codeOnly?: true }
const FORBIDDEN: readonly Rule[] = [
  { name: 'any', pattern: /(?:[:<|&,]\s*|\bas\s+)any\b(?!\s*\()/, codeOnly: true },
  { name: 'a cast through unknown', pattern: /\bas unknown as\b/, codeOnly: true },
  { name: 'a switched-off type check', pattern: /@ts-(?:ignore|expect-error|nocheck)/ },
  { name: 'a switched-off lint rule without a reason', pattern: /biome-ignore(?!\S* \S+: \S)/ },
  { name: 'a note to oneself', pattern: /\b(?:TODO|FIXME|XXX|HACK|WIP)\b/ },
  { name: 'a path of one machine', pattern: /\/(?:work\/(?:main|shared|\.)|root\/\.|tmp\/\w+\/)/ },
  { name: 'a registry', pattern: /\bregistry\.\w+\.\w+/ },
  { name: 'a focused test', pattern: /\b\w+\.only\(/, codeOnly: true },
]

function faultsOf({ file, text }: Source): readonly string[] {
  const code = codeOnly(text)
  return FORBIDDEN.filter((rule) => rule.pattern.test(rule.codeOnly ? code : text)).map(
    (rule) => `${file}: ${rule.name}`,
  )
}

test('no file holds what is forbidden', () => {
  const files = sources(CODE, '.ci/*', '*.json', '*.md', 'docs/**/*.md').filter(({ file }) => file !== SELF)
  assert.equal(files.flatMap(faultsOf), [])
})

const PLANTED = [
  'const x: any = 1',
  'const x = y as any',
  'const x: Record<string, any> = {}',
  'const x = y as unknown as PeerId',
  '// @ts-expect-error',
  '// biome-ignore lint/suspicious/noExplicitAny',
  '// TODO later',
  "const home = '/root/.config'",
  "test.only('this one', () => {})",
]
for (const text of PLANTED) {
  test(`${JSON.stringify(text)} is found`, () => assert.is(faultsOf({ file: 'core/a.ts', text }).length, 1))
}

test('what only looks alike is not found', () => {
  const texts = [
    '// as any reader knows',
    'Promise.any(all)',
    "const text = 'x as any'",
    '// biome-ignore lint/style/x: the table is wide',
  ]
  assert.equal(
    texts.flatMap((text) => faultsOf({ file: 'core/a.ts', text })),
    [],
  )
})

const RUNS = /[\w)]\.run\(\)$/m

/** A test file runs its own tests, or calls a suite of contracts that runs them. */
function runsTests({ file, text }: Source): boolean {
  const suites = importsOf(text).filter((specifier) => specifier.endsWith('.suite.ts'))
  const texts = suites.map((specifier) => read(resolveImport(file, specifier) ?? file))
  return [text, ...texts].some((code) => RUNS.test(codeOnly(code)))
}

test('every test file runs its tests', () => {
  const silent = sources('test/**/*.test.ts').filter((source) => !runsTests(source))
  assert.equal(
    silent.map(({ file }) => file),
    [],
  )
})

test('every source file is used by another one', () => {
  const files = sources('{core,native,models,node}/**/*.ts')
  const used = new Set(
    files.flatMap(({ file, text }) => importsOf(text).map((specifier) => resolveImport(file, specifier))),
  )
  const aliased = Object.values(ALIASES).flatMap((targets) => Object.values(targets).map((target) => target.slice(2)))
  const dead = files.filter(({ file }) => !used.has(file) && !aliased.includes(file) && !ENTRIES.includes(file))
  assert.equal(
    dead.map(({ file }) => file),
    [],
  )
})

test('every support file is used by a test', () => {
  const used = sources('test/**/*.ts', 'bench/**/*.ts').flatMap(({ file, text }) =>
    importsOf(text).map((specifier) => resolveImport(file, specifier)),
  )
  const dead = sources('test/support/**/*.ts').filter(({ file }) => !used.includes(file))
  assert.equal(
    dead.map(({ file }) => file),
    [],
  )
})

test.run()
