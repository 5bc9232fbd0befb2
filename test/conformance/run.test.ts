/** Runs every vector file through its checker; another implementation can run the same files. */
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checker, VectorFile } from './vector.ts'

const HERE = new URL('./', import.meta.url)
const isChecker = (name: string) => name.endsWith('.vectors.ts')
const checkers = await Promise.all(
  readdirSync(HERE)
    .filter(isChecker)
    .map((name): Promise<Checker> => import(new URL(name, HERE).href)),
)

function parseVectorFile(file: string): VectorFile {
  return JSON.parse(readFileSync(new URL(`vectors/${file}`, HERE), 'utf8')) as VectorFile
}

test('every vector file has a checker and every checker a file', () => {
  const files = readdirSync(new URL('vectors/', HERE)).filter((name) => name.endsWith('.json'))
  assert.equal(checkers.map(({ file }) => file).sort(), files.sort())
})

for (const { file, check } of checkers) {
  const { name, cases } = parseVectorFile(file)

  test(`${file}: at least half of the cases must be refused, and each has its own name`, () => {
    assert.ok(cases.filter(({ accept }) => !accept).length * 2 >= cases.length)
    assert.is(new Set(cases.map((vector) => vector.name)).size, cases.length)
  })

  for (const vector of cases)
    test(`${name}: ${vector.name} is ${vector.accept ? 'accepted' : 'refused'}`, () => check(vector))
}

test.run()
