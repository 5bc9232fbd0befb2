/** `npm run fuzz [-- --inputs N] [--requests N] [--seed S] [--save]`: the long form of what the fuzz tests do in short. */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { fuzzDecoder } from './decoder.ts'
import { fuzzFrames } from './frames.ts'
import { fuzzHttp, type HttpReport, type Memory } from './http.ts'

const MIB = 1_048_576
/** Caches fill and code is compiled first: what comes after these inputs must not add to the heap. */
const WARM_UP_INPUTS = 50_000

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    requests: { type: 'string', default: '10000' },
    save: { type: 'boolean', default: false },
  },
})

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

function heapMib(): number {
  collect()
  return Math.round((process.memoryUsage().heapUsed / MIB) * 10) / 10
}

async function runDecoder(inputs: number, seed: number) {
  await fuzzDecoder(Math.min(inputs, WARM_UP_INPUTS), seed + 1)
  const beforeMib = heapMib()
  const report = await fuzzDecoder(inputs, seed)
  return { ...report, heapMib: { before: beforeMib, after: heapMib() } }
}

function printDecoder({
  inputs,
  accepted,
  reachedSchema,
  faults,
  ms,
  heapMib: heap,
}: Awaited<ReturnType<typeof runDecoder>>) {
  console.log(
    `decoder: ${inputs} inputs in ${ms} ms: ${accepted} accepted, ${reachedSchema} reached a schema, ${faults.length} faults; heap ${heap.before} to ${heap.after} MiB`,
  )
}

function printHttp({ requests, served, faults, ms, rssBytes, heapBytes, codes }: HttpReport) {
  const mib = (memory: Memory) =>
    Object.values(memory)
      .map((bytes) => Math.round(bytes / MIB))
      .join(', ')
  console.log(
    `HTTP: ${requests} requests in ${ms} ms: ${served} served, ${faults.length} faults; MiB before, after half and after all: RSS ${mib(rssBytes)}, heap ${mib(heapBytes)}`,
  )
  for (const [code, count] of Object.entries(codes)) console.log(`  ${code.padEnd(34)} ${count}`)
}

const seed = testSeed()
const decoder = await runDecoder(Number(values.inputs), seed)
printDecoder(decoder)
const frames = fuzzFrames(Number(values.inputs), seededRandom(seed))
console.log(
  `stream frames: ${frames.streams} broken streams in ${frames.ms} ms: ${frames.frames} frames, ${frames.refused} refused, ${frames.faults.length} faults`,
)
const http = await fuzzHttp(Number(values.requests), seed)
printHttp(http)
const faults = [...decoder.faults, ...frames.faults, ...http.faults]
if (faults.length > 0) console.error(JSON.stringify(faults, null, 2))
if (values.save)
  writeFileSync(
    new URL('../../bench/results/fuzz.json', import.meta.url),
    `${JSON.stringify({ decoder, frames, http, machine: { node: process.version } }, null, 2)}\n`,
  )
process.exitCode = faults.length > 0 ? 1 : 0
