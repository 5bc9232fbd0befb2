/**
 * Plays the scripts of this folder and compares what they print (in the manner of raft's interaction tests). Blocks are separated by
 * an empty line; in each, commands stand above `----` and what they print below. `REWRITE=1` writes what they print.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Script } from './script.ts'

const FOLDER = import.meta.dirname
const RULE = '----'

function played(text: string): string {
  const script = new Script()
  const blocks = text.trimEnd().split('\n\n')
  return `${blocks.map((block) => playedBlock(script, block)).join('\n\n')}\n`
}

function playedBlock(script: Script, block: string): string {
  const lines = block.split('\n')
  const end = lines.indexOf(RULE)
  const commands = end < 0 ? lines : lines.slice(0, end)
  const printed = commands.filter((line) => !line.startsWith('#')).map((line) => script.run(line))
  const output = printed.filter((part) => part !== '')
  return end < 0 && output.length === 0 ? block : [...commands, RULE, ...output].join('\n')
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.txt'))) {
  test(`${file.slice(0, -'.txt'.length).replaceAll('-', ' ')} goes as it is written`, () => {
    const place = path.join(FOLDER, file)
    const expected = readFileSync(place, 'utf8')
    const actual = played(expected)
    if (process.env['REWRITE'] !== undefined) writeFileSync(place, actual)
    else assert.fixture(actual, expected)
  })
}

test.run()
