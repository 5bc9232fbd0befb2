/** Our engine against itself: what being checkable costs, and what checking costs. */
import type { SamplingSpec } from '../../models/backend.ts'
import { type Engine, generate, openEngine, requestOf, type Written } from './ours.ts'
import { Proof } from './proof.ts'
import { inTurn, type Row } from './rows.ts'
import { SPEED, type SuiteContext, way } from './suite.ts'
import { GREEDY, GUMBEL, speedTogether } from './workload.ts'

const THREADS = 1
const STREAMS = 8
const PROMPT_TOKENS = 16
const TOKENS = 128
const AUDITED_TOKENS = 256
const AUDIT_PROMPTS = [16, 512]
const WANTED_CHECKABLE = 0.99
/** Of what generating took; for the short prompt, where the tokens outweigh it. */
const WANTED_AUDIT = 1 / 2.5
const RUN_MS_MAX = 120_000

/** gumbel-v1 with its chain of signatures and its commitment, against taking the best token and proving nothing. */
export async function checkableSuite({ models, driver, rounds }: SuiteContext): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const model of [models.large, models.tiny]) {
    const engine = await openEngine(model, { threads: THREADS, slots: STREAMS, driver })
    try {
      const on = way('on', () => speed(engine, GUMBEL, () => new Proof()))
      const off = way('off', () => speed(engine, GREEDY, () => undefined))
      const samples = await inTurn([on, off], rounds)
      rows.push({
        ...{ test: `gumbel-v1, chain and commitment, ${STREAMS} streams, ${model.name}, ${THREADS}T`, unit: 't/s' },
        ...{ ours: samples('on', SPEED), reference: 'best token, no proof', theirs: samples('off', SPEED) },
        ...{ comparison: 'ratio', wanted: { atLeast: WANTED_CHECKABLE } },
      })
    } finally {
      await engine.close()
    }
  }
  return rows
}

async function speed(engine: Engine, sampling: SamplingSpec, open: () => Proof | undefined): Promise<number> {
  const streams = Array.from({ length: STREAMS }, (_, salt) => write(engine, sampling, salt, open()))
  return speedTogether((await Promise.all(streams)).map(({ times }) => times))
}

async function write(engine: Engine, sampling: SamplingSpec, salt: number, proof: Proof | undefined): Promise<Written> {
  const request = requestOf(engine, PROMPT_TOKENS, TOKENS, salt, sampling)
  const [times, written]: [number[], number[]] = [[], []]
  let whole = ''
  for await (const { ids, text } of engine.backend.generate(request, AbortSignal.timeout(RUN_MS_MAX))) {
    proof?.tokens(ids)
    written.push(...ids)
    whole += text
    for (const _ of ids) times.push(performance.now())
  }
  proof?.end(whole)
  return { times, ids: written }
}

/** One pass over an answer and its prompt, against what it took to write it. */
export async function auditSuite({ models, driver, rounds }: SuiteContext): Promise<readonly Row[]> {
  const engine = await openEngine(models.large, { threads: THREADS, slots: 2, driver })
  const rows: Row[] = []
  try {
    for (const promptTokens of AUDIT_PROMPTS) {
      let salt = 0
      const both = { name: 'both', run: () => writeAndAudit(engine, promptTokens, salt++) }
      const samples = await inTurn([both], rounds)
      rows.push({
        test: `audit of ${AUDITED_TOKENS} tokens, prompt ${promptTokens}, ${models.large.name}, ${THREADS}T`,
        ...{ unit: 'ms', ours: samples('both', 'auditMs'), reference: 'generating them' },
        ...{ theirs: samples('both', 'writeMs'), comparison: 'ratio' },
        ...(promptTokens === PROMPT_TOKENS ? { wanted: { atMost: WANTED_AUDIT } } : {}),
      })
    }
  } finally {
    await engine.close()
  }
  return rows
}

async function writeAndAudit(engine: Engine, promptTokens: number, salt: number) {
  const request = requestOf(engine, promptTokens, AUDITED_TOKENS, salt)
  const beginMs = performance.now()
  const { ids } = await generate(engine, request)
  const writtenMs = performance.now()
  const { promptIds, sampling, seed } = request
  const claim = { promptIds, sampling, seed, outputIds: Uint32Array.from(ids) }
  const chunks = engine.backend.schedule(promptIds.length)
  const positions = await engine.backend.audit({ ...claim, chunks }, AbortSignal.timeout(RUN_MS_MAX))
  const worst = Math.max(...positions.map(({ margin }) => margin))
  if (positions.length !== AUDITED_TOKENS || worst > 0) throw new Error(`an honest answer loses by ${worst} nats`)
  return { writeMs: writtenMs - beginMs, auditMs: performance.now() - writtenMs }
}
