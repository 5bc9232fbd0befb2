/** Reading a prompt, without HTTP: as a job that can be audited reads it, in small chunks, and as any other does. */
import { type Engine, openEngine, prefillSpeed } from './ours.ts'
import { inTurn, type Row } from './rows.ts'
import { SPEED, type SuiteContext, way } from './suite.ts'
import { llamaBench } from './tools.ts'
import { GREEDY, GUMBEL } from './workload.ts'

const PROMPT_TOKENS = 512
const SLOTS = 4
const WANTED = 0.98
const KINDS = [
  { kind: 'gumbel-v1', sampling: GUMBEL },
  { kind: 'llama sampling', sampling: GREEDY },
]

export async function prefillSuite(context: SuiteContext): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const threads of context.threads) {
    const engine = await openEngine(context.models.large, { threads, slots: SLOTS, driver: context.driver })
    try {
      rows.push(...(await prefill(context, engine, threads)))
    } finally {
      await engine.close()
    }
  }
  return rows
}

async function prefill({ models, rounds }: SuiteContext, engine: Engine, threads: number): Promise<readonly Row[]> {
  let salt = 0
  const ours = KINDS.map(({ kind, sampling }) => way(kind, () => prefillSpeed(engine, PROMPT_TOKENS, salt++, sampling)))
  const theirs = way('theirs', () => llamaBench(models.large, threads, 'pp', PROMPT_TOKENS))
  const samples = await inTurn([...ours, theirs], rounds)
  return KINDS.map(({ kind }) => ({
    ...{ test: `prefill ${PROMPT_TOKENS}, ${kind}, ${models.large.name}, ${threads}T`, unit: 't/s' },
    ...{ ours: samples(kind, SPEED), reference: 'llama-bench pp', theirs: samples('theirs', SPEED) },
    ...{ comparison: 'ratio', wanted: { atLeast: WANTED } },
  }))
}
