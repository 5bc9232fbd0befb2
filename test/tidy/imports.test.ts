/** Holds the order of layers: a file imports from its own folder or from folders before it, and core stays pure. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { codeOnly, importsOf, resolveImport, type Source, sources } from './source.ts'

/** Lowest first; folders on one line are strangers to each other. */
const LAYERS: readonly (readonly string[])[] = [
  // Two leaves below the root: ids are base32 and hex of bytes.
  ['core/invariant.ts'],
  ['core/codec/bytes.ts'],
  ['core'],
  ['core/codec'],
  ['core/identity'],
  ['core/roster'],
  ['core/membership'],
  ['core/selection'],
  ['core/quorum'],
  ['core/latency'],
  ['core/verification'],
  ['core/ledger'],
  ['core/log'],
  ['core/receipt'],
  ['core/job'],
  ['core/index.ts'],
  ['native'],
  ['models'],
  ['node/runtime'],
  ['node/stores', 'node/mesh', 'node/hosts', 'node/control'],
  ['node/jobs'],
  ['node/simulation'],
  ['node/calibration'],
  ['node/swarm'],
  ['node'],
]
const CORE_PACKAGES = ['msgpackr', 'typebox', '@noble/ciphers', '@noble/curves', '@noble/ed25519', '@noble/hashes']
const CRYPTO_FILES = ['core/codec/hash.ts', 'core/identity/ed25519.ts', 'core/identity/x25519.ts']
const IMPURE = [
  /\bDate\.now\b/,
  /\bnew Date\(\s*\)/,
  /\bMath\.random\b/,
  /\bperformance\./,
  /\b(?:set|clear)(?:Timeout|Interval|Immediate)\b/,
  /\bqueueMicrotask\b/,
  /\b(?:getRandomValues|randomBytes|randomUUID|randomInt)\b/,
  /\bprocess\.\w/,
  /\bfetch\(/,
  /\bconsole\./,
]

/** The name under which LAYERS lists a file: itself, else its folder; the commands and the root of the daemon are one layer. */
function layerName(file: string): string {
  if (LAYERS.flat().includes(file)) return file
  if (file.startsWith('node/commands/')) return 'node'
  const folders = file.split('/').slice(0, -1)
  return folders.slice(0, folders[0] === 'core' || folders[0] === 'node' ? 2 : 1).join('/')
}

function rankOf(file: string): number {
  return LAYERS.findIndex((layer) => layer.includes(layerName(file)))
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** Says what is wrong with one import, or nothing. */
function importFault(file: string, specifier: string): string | undefined {
  const target = resolveImport(file, specifier)
  if (target === undefined) return file.startsWith('core/') ? foreignFault(file, specifier) : undefined
  if (/^(?:test|bench)\//.test(target)) return 'nobody imports test or bench'
  const [own, other] = [rankOf(file), rankOf(target)]
  if (other === -1) return 'the folder is in no layer'
  if (other > own) return 'a lower layer imports a higher one'
  return own === other && layerName(file) !== layerName(target) ? 'these folders are strangers' : undefined
}

function foreignFault(file: string, specifier: string): string | undefined {
  if (specifier === 'node:crypto') return CRYPTO_FILES.includes(file) ? undefined : 'few files may use node:crypto'
  if (specifier.startsWith('node:')) return 'core imports no node: module'
  return CORE_PACKAGES.includes(packageOf(specifier)) ? undefined : 'core may not use this package'
}

function faultsOf({ file, text }: Source): readonly string[] {
  const faults = importsOf(text).map((specifier) => {
    const fault = importFault(file, specifier)
    return fault === undefined ? undefined : `${file} imports ${specifier}: ${fault}`
  })
  if (rankOf(file) === -1) faults.push(`${file}: the folder is in no layer`)
  if (file.startsWith('core/')) {
    const code = codeOnly(text)
    for (const word of IMPURE) if (word.test(code)) faults.push(`${file} uses ${word.exec(code)?.[0]}: core is pure`)
  }
  return faults.filter((fault) => fault !== undefined)
}

test('every import goes down the list of layers', () => {
  const files = sources('{core,native,models,node}/**/*.ts')
  assert.ok(files.length > 20, 'the files are found')
  assert.equal(files.flatMap(faultsOf), [])
})

const PLANTED: readonly (readonly [file: string, text: string, fault: RegExp])[] = [
  ['core/codec/a.ts', "import { x } from '../job/b.ts'", /lower layer/],
  ['core/codec/a.ts', "import {\n  x,\n} from '../identity/b.ts'", /lower layer/],
  ['core/codec/a.ts', "export * from '../identity/b.ts'", /lower layer/],
  ['core/codec/a.ts', "const x = await import('../../node/daemon.ts')", /lower layer/],
  ['core/codec/a.ts', "import { sign } from '#core/ed25519'", /lower layer/],
  ['core/ids.ts', "import { x } from './codec/hash.ts'", /lower layer/],
  ['core/codec/bytes.ts', "import { x } from '../ids.ts'", /lower layer/],
  ['core/codec/a.ts', "import { readFileSync } from 'node:fs'", /no node: module/],
  ['core/codec/a.ts', "import { hash } from 'node:crypto'", /node:crypto/],
  ['core/codec/a.ts', "import fastify from 'fastify'", /this package/],
  ['core/job/a.ts', 'const now = Date.now()', /core is pure/],
  ['core/job/a.ts', 'const x = Math.random()', /core is pure/],
  ['core/job/a.ts', 'setTimeout(run, 10)', /core is pure/],
  ['core/job/a.ts', "const home = process.env['HOME']", /core is pure/],
  ['node/stores/a.ts', "import { x } from '../mesh/b.ts'", /strangers/],
  ['node/control/a.ts', "import type { X } from '../hosts/b.ts'", /strangers/],
  ['node/stores/a.ts', "import { x } from '../daemon.ts'", /lower layer/],
  ['node/control/a.ts', "import { x } from '../simulation/b.ts'", /lower layer/],
  ['node/simulation/a.ts', "import { x } from '../daemon.ts'", /lower layer/],
  ['node/daemon.ts', "import { x } from '../test/support/b.ts'", /nobody imports/],
  ['models/a.ts', "new Worker(new URL('../node/b.ts', import.meta.url))", /lower layer/],
  ['node/garage/a.ts', '', /no layer/],
]
for (const [file, text, fault] of PLANTED) {
  test(`in ${file}, ${JSON.stringify(text)} is found`, () => assert.match(faultsOf({ file, text }).join(), fault))
}

test('what is allowed is not found', () => {
  const allowed: readonly Source[] = [
    { file: 'core/codec/hash.ts', text: "import { createHash } from 'node:crypto'" },
    { file: 'core/codec/a.ts', text: "import { pack } from 'msgpackr/pack'\n// Date.now() is not called here" },
    { file: 'core/job/a.ts', text: "import { sha256 } from '#core/hash'\nconst help = 'process.env is not read'" },
    { file: 'node/daemon.ts', text: "import { x } from './mesh/b.ts'\nimport pino from 'pino'\nDate.now()" },
  ]
  assert.equal(allowed.flatMap(faultsOf), [])
})

test.run()
