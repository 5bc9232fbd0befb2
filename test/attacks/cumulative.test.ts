/** Rows 29 and 30: what one output does not show and many do. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { addEvidence, type Cusum, evidenceOf, NO_EVIDENCE } from '../../core/verification/cusum.ts'
import { closeHosts } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'
import {
  type Audit,
  auditAll,
  count,
  inTurns,
  type Job,
  jobsFor,
  type Machine,
  machineWith,
  type Output,
  Q4,
  say,
  sayAll,
} from './support/models.ts'
import { coarserQ4 } from './support/weights.ts'

const LIMIT_MS = 200_000

const test = suite<{ real: Machine; cheap: Machine }>('cumulative')
test.before(async (context) => {
  context.real = await machineWith(Q4)
  context.cheap = await machineWith(await coarserQ4(Q4, 3))
})
test.after(closeHosts)

type Found = { readonly tokens: number; readonly alarmAt: number | undefined }

/** Adds one report after the other, as they would come of one worker. */
function watch(audits: readonly Audit[]): Found {
  let cusum: Cusum = NO_EVIDENCE
  let tokens = 0
  for (const { statistics } of audits) {
    cusum = addEvidence(cusum, evidenceOf(statistics))
    tokens += statistics.positions
    if (cusum.alarms > 0) return { tokens, alarmAt: tokens }
  }
  return { tokens, alarmAt: undefined }
}

function lineOf({ tokens, alarmAt }: Found): string {
  return alarmAt === undefined ? `no alarm in ${tokens} audited tokens` : `alarm after ${alarmAt} audited tokens`
}

test('row 29: cheating on short outputs only is found over many of them', ({ real, cheap }) =>
  within(LIMIT_MS, async () => {
    const short = await auditAll(real, await sayAll(cheap, await jobsFor(real, 48, { maxTokens: 24 })))
    const long = await auditAll(real, await sayAll(real, await jobsFor(real, 4, { maxTokens: 160 })))
    // One honest long output to twelve short ones of the cheaper model.
    const mixed = short.flatMap((audit, place) => (place % 12 === 0 ? [audit, long[place / 12] ?? missing()] : [audit]))
    const passed = count(short, ({ verdict }) => verdict === 'pass')
    const found = watch(mixed)
    observe(
      29,
      `${passed} of ${short.length} outputs of 24 tokens of a 3-bit stand-in pass one by one; over all of them, long honest ones between: ${lineOf(found)}`,
    )
    assert.ok(found.alarmAt !== undefined)
    assert.is(watch(long).alarmAt, undefined)
  })())

const CYCLE_TOKENS = 25
/** Of each cycle, from the cheaper model. */
const CHEAP_TOKENS = 5
const CYCLES = 6

/** A fifth of the tokens from the cheaper model, the rest from the real one. */
async function partly(real: Machine, cheap: Machine, job: Job): Promise<Output> {
  let ids: readonly number[] = []
  for (let part = 0; part < 2 * CYCLES; part += 1) {
    const isCheap = part % 2 === 1
    const more = isCheap ? CHEAP_TOKENS : CYCLE_TOKENS - CHEAP_TOKENS
    const prefixIds = Uint32Array.from(ids)
    const said = await say(isCheap ? cheap : real, { ...job, maxTokens: ids.length + more }, { prefixIds })
    ids = [...ids, ...said.ids]
    if (said.finish === 'stop') break
  }
  return { job, ids, text: '', finish: 'length' }
}

test('row 30: cheating on a fifth of the tokens is found', ({ real, cheap }) =>
  within(LIMIT_MS, async () => {
    const jobs = await jobsFor(real, 16, { maxTokens: CYCLES * CYCLE_TOKENS })
    const audits = await auditAll(real, await inTurns(jobs, (job) => partly(real, cheap, job)))
    const failed = count(audits, ({ verdict }) => verdict === 'fail')
    const found = watch(audits)
    observe(
      30,
      `${failed} of ${audits.length} outputs of at most ${CYCLES * CYCLE_TOKENS} tokens, a fifth of them of a 3-bit stand-in, fail one by one; ${lineOf(found)}`,
    )
    assert.ok(found.alarmAt !== undefined && found.alarmAt <= 1_950)
  })())

test.run()
