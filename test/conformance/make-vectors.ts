/** Writes the vector files of the protocol; the same bytes at each run. Usage: node test/conformance/make-vectors.ts */
import { writeFileSync } from 'node:fs'
import { allVectors } from './cases/all.ts'

for (const vectors of allVectors()) {
  const path = new URL(`vectors/${vectors.name}.json`, import.meta.url)
  writeFileSync(path, `${JSON.stringify(vectors, null, 2)}\n`)
  console.log(`${vectors.name}: ${vectors.cases.length} cases`)
}
