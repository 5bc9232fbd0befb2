/** Generating, without HTTP: our compute host against llama-bench and llama-batched-bench. */
import { decodeSpeed, type Engine, openEngine } from './ours.ts'
import { inTurn, type Row } from './rows.ts'
import { SPEED, type SuiteContext, way } from './suite.ts'
import { llamaBatchedBench, llamaBench } from './tools.ts'

const TOGETHER = [4, 8, 16]
const SLOTS = 16
const PROMPT_TOKENS = 16
const TOKENS = 64
const WANTED_ALONE = 0.97
const WANTED_TOGETHER = 0.95

export async function decodeSuite(context: SuiteContext): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const threads of context.threads) {
    const engine = await openEngine(context.models.large, { threads, slots: SLOTS, driver: context.driver })
    try {
      rows.push(await alone(context, engine, threads))
      for (const sequences of TOGETHER) rows.push(await together(context, engine, threads, sequences))
    } finally {
      await engine.close()
    }
  }
  return rows
}

async function alone({ models, rounds }: SuiteContext, engine: Engine, threads: number): Promise<Row> {
  const ours = way('ours', () => decodeSpeed(engine, 1, 1, TOKENS))
  const theirs = way('theirs', () => llamaBench(models.large, threads, 'tg', TOKENS))
  const samples = await inTurn([ours, theirs], rounds)
  return {
    ...{ test: `decode, 1 stream, ${models.large.name}, ${threads}T`, unit: 't/s', comparison: 'ratio' },
    ...{ ours: samples('ours', SPEED), reference: 'llama-bench tg', theirs: samples('theirs', SPEED) },
    wanted: { atLeast: WANTED_ALONE },
  }
}

async function together(
  { models, rounds }: SuiteContext,
  engine: Engine,
  threads: number,
  sequences: number,
): Promise<Row> {
  const ours = way('ours', () => decodeSpeed(engine, sequences, PROMPT_TOKENS, TOKENS))
  const theirs = way('theirs', () => llamaBatchedBench(models.large, threads, sequences, PROMPT_TOKENS, TOKENS))
  const samples = await inTurn([ours, theirs], rounds)
  return {
    ...{ test: `decode, ${sequences} streams, ${models.large.name}, ${threads}T`, unit: 't/s', comparison: 'ratio' },
    ...{ ours: samples('ours', SPEED), reference: 'llama-batched-bench', theirs: samples('theirs', SPEED) },
    wanted: { atLeast: WANTED_TOGETHER },
  }
}
