import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LoadOptions, loadKernel } from '../../../native/load.ts'
import { builtPaths, NATIVE_FOLDER, sourcesName, stampOf } from '../../../native/stamp.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const isBuilt = existsSync(builtPaths('cfab').stamp)
if (!isBuilt) console.log('skipped what needs a build: there is no compiler here')

/** The sources and their build, to be broken. */
function copied(): string {
  const folder = tempFolder()
  const isLarge = (source: string) => /\/(?:references|build\/(?:engine|llama\.cpp))$/.test(source)
  cpSync(NATIVE_FOLDER, folder, { recursive: true, filter: (source) => !isLarge(source) })
  return folder
}

/** Puts other bytes in the place of the binary, under a stamp that vouches for them. */
function withBinary(bytes: Uint8Array): string {
  const folder = copied()
  const { binary, stamp } = builtPaths('cfab', folder)
  writeFileSync(binary, bytes)
  writeFileSync(stamp, stampOf('cfab', bytes, folder))
  return folder
}

/** @returns which kernel was loaded and what was announced */
function load(options: LoadOptions): { readonly kernel: string; readonly lines: readonly string[] } {
  const lines: string[] = []
  const { kernel } = loadKernel({ ...options, announce: (line) => lines.push(line) })
  return { kernel, lines }
}

function assertFallsBack(options: LoadOptions, why: RegExp): void {
  const { kernel, lines } = load(options)
  assert.is(kernel, 'reference')
  assert.is(lines.length, 1, 'told once')
  assert.match(lines[0] ?? '', why)
}

test('without a build the reference runs, and says so once', () =>
  assertFallsBack({ folder: tempFolder() }, /not built/))

test('who asks for the reference gets it without a word', () => {
  assert.equal(load({ kernel: 'reference' }), { kernel: 'reference', lines: [] })
})

if (isBuilt) {
  test('a build of the present sources is loaded, and nothing is announced', () => {
    const { kernel, lines } = load({ folder: copied() })
    assert.is.not(kernel, 'reference')
    assert.equal(lines, [])
  })

  test('a build of other sources is not loaded', () => {
    const folder = copied()
    const file = join(folder, 'rendezvous.cc')
    writeFileSync(file, `${readFileSync(file, 'utf8')}\n`)
    assertFallsBack({ folder }, /other sources/)
  })

  test('a build for another platform is not loaded', () => {
    const folder = copied()
    const { stamp } = builtPaths('cfab', folder)
    writeFileSync(stamp, readFileSync(stamp, 'utf8').replace(/ \w+-\w+-napi\d+ /, ' plan9-mips-napi8 '))
    assertFallsBack({ folder }, /other sources/)
  })

  test('a binary that was cut short is not loaded', () => {
    const folder = copied()
    const { binary } = builtPaths('cfab', folder)
    writeFileSync(binary, readFileSync(binary).subarray(0, 8_192))
    assertFallsBack({ folder }, /other sources/)
  })

  test('a binary that is none falls back', () => assertFallsBack({ folder: withBinary(Buffer.from('no')) }, /cannot/))

  test('the name of a build depends on its sources alone, not on what was built', () => {
    const folder = copied()
    writeFileSync(join(folder, 'build', 'other.gypi'), '{}')
    writeFileSync(join(folder, 'engine', 'other.cc'), '')
    assert.is(sourcesName('cfab', folder), sourcesName('cfab'))
  })
}

test.run()
