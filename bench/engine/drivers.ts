/** What the engine of our own brings: against lock-step, against node-llama-cpp's own `evaluate()`, and against itself without a host. */
import { openDirect } from './direct.ts'
import { openEvaluator } from './evaluate.ts'
import type { Model } from './models.ts'
import { decodeSpeed, openEngine } from './ours.ts'
import { inTurn, type Row } from './rows.ts'
import { SPEED, type SuiteContext, way } from './suite.ts'

const TOGETHER = [1, 4, 16]
const SLOTS = 16
const THREADS = 1
const PROMPT_TOKENS = 16
const TOKENS = 48

export async function driversSuite(context: SuiteContext): Promise<readonly Row[]> {
  const { large, tiny } = context.models
  return [...(await driversOf(context, large)), ...(await driversOf(context, tiny))]
}

async function driversOf({ driver, rounds }: SuiteContext, model: Model): Promise<readonly Row[]> {
  const rows: Row[] = []
  const [options, opening] = [
    { threads: THREADS, slots: SLOTS },
    { ...model, threads: THREADS, slots: SLOTS },
  ]
  const ours = await openEngine(model, { ...options, driver })
  const lockstep = await openEngine(model, { ...options, driver: 'lockstep' })
  const others = { 'evaluate()': await openEvaluator(opening), 'engine without host': await openDirect(opening) }
  try {
    for (const sequences of TOGETHER) {
      const order = { sequences, promptTokens: PROMPT_TOKENS, tokens: TOKENS }
      const references = [
        way('lock-step', () => decodeSpeed(lockstep, sequences, PROMPT_TOKENS, TOKENS)),
        ...Object.entries(others).flatMap(([name, child]) =>
          child === undefined ? [] : [way(name, () => child.speed(order))],
        ),
      ]
      const own = way('ours', () => decodeSpeed(ours, sequences, PROMPT_TOKENS, TOKENS))
      const samples = await inTurn([own, ...references], rounds)
      for (const { name } of references)
        rows.push({
          ...{ test: `driver ${ours.loaded.driver.kind}, ${sequences} streams, ${model.name}, ${THREADS}T` },
          ...{ unit: 't/s', ours: samples('ours', SPEED), reference: name, theirs: samples(name, SPEED) },
          comparison: 'ratio',
        })
    }
  } finally {
    for (const child of Object.values(others)) child?.close()
    await lockstep.close()
    await ours.close()
  }
  return rows
}
