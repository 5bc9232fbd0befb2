/** What one token costs beside computing it: the small model on all slots, against loops in C++ over the same libraries. */
import { decodeSpeed, openEngine } from './ours.ts'
import { inTurn, type Row, type Way } from './rows.ts'
import { SPEED, type SuiteContext, way } from './suite.ts'
import { bareLoop, llamaBatchedBench } from './tools.ts'

const THREADS = 1
const SLOTS = 16
const ORDER = { sequences: SLOTS, promptTokens: 16, tokens: 128 }
const US_PER_S = 1e6
const WANTED_US = 30
const BARE = 'bare loop in C++'
const BATCHED = 'llama-batched-bench'

export async function overheadSuite({ models, driver, rounds }: SuiteContext): Promise<readonly Row[]> {
  const model = models.tiny
  const { sequences, promptTokens, tokens } = ORDER
  const engine = await openEngine(model, { threads: THREADS, slots: SLOTS, driver })
  const timed = (name: string, speed: () => Promise<number>): Way => way(name, async () => US_PER_S / (await speed()))
  try {
    const hasBare = (await bareLoop(model, THREADS, ORDER)) !== undefined
    const references = [
      ...(hasBare ? [timed(BARE, async () => (await bareLoop(model, THREADS, ORDER)) ?? Number.NaN)] : []),
      timed(BATCHED, () => llamaBatchedBench(model, THREADS, sequences, promptTokens, tokens)),
    ]
    const ours = timed('ours', () => decodeSpeed(engine, sequences, promptTokens, tokens))
    const samples = await inTurn([ours, ...references], rounds)
    return references.map(({ name }) => ({
      ...{ test: `time of a token, ${SLOTS} streams, ${model.name}, ${THREADS}T`, unit: 'us' },
      ...{ ours: samples('ours', SPEED), reference: name, theirs: samples(name, SPEED) },
      ...{ comparison: 'difference', wanted: { atMost: WANTED_US } },
    }))
  } finally {
    await engine.close()
  }
}
