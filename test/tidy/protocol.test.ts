/** docs/PROTOCOL.md lists the fields of every body in wire order: the list and the code are equal in both directions. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = new URL('../../', import.meta.url).pathname
const BODY = /defineBody\(\s*'([a-z-]+)',\s*\{([\s\S]*?)\n?\s*\},\s*(?:[\w.*+ ]+),?\s*\)/g

function coreFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Names at the first level of an object literal, in order; a spread of the certificate stands for its two fields. */
function fieldNames(literal: string): string[] {
  const plain = literal
    .replace(/\/\*\*[\s\S]*?\*\//g, '')
    .replaceAll('...certificate', 'bitmap: u16(), signatures: bytesMax()')
  const names: string[] = []
  let depth = 0
  for (const part of plain.match(/[({[]|[)}\]]|\w+\s*:|[^(){}[\]]/g) ?? []) {
    if ('({['.includes(part)) depth += 1
    else if (')}]'.includes(part)) depth -= 1
    else if (depth === 0 && part.endsWith(':')) names.push(part.slice(0, -1).trim())
  }
  return names
}

function bodiesInCode(): Map<string, string[]> {
  const bodies = new Map<string, string[]>()
  for (const file of coreFiles(join(ROOT, 'core')))
    for (const [, type, literal] of readFileSync(file, 'utf8').matchAll(BODY))
      if (type !== undefined) bodies.set(type, fieldNames(literal ?? ''))
  return bodies
}

function bodiesInDocs(): Map<string, string[]> {
  const [, list = ''] = readFileSync(join(ROOT, 'docs/PROTOCOL.md'), 'utf8').split('## Field orders')
  const rows = list.matchAll(/^- `([a-z-]+)`.*?: (.*)$/gm)
  return new Map(
    [...rows].map(([, type = '', fields = '']) => [
      type,
      [...fields.matchAll(/\*\*(\w+)\*\*/g)].map(([, name = '']) => name),
    ]),
  )
}

test('every body of the protocol is documented with its fields in wire order', () => {
  const [code, docs] = [bodiesInCode(), bodiesInDocs()]
  assert.ok(code.size >= 30, `found ${code.size} bodies`)
  assert.equal([...docs.keys()].sort(), [...code.keys()].sort())
  for (const [type, fields] of code) assert.equal(docs.get(type), fields, type)
})

test.run()
