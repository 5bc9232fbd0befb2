/** Rows 1 to 5: something else than the model that was paid for computes the tokens. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addMargin, type Cusum, NO_EVIDENCE } from '../../core/verification/cusum.ts'
import type { LoadRequest } from '../../models/backend.ts'
import { sharedLoad } from '../support/drivers.ts'
import { closeHosts } from '../support/host.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'
import {
  type Audit,
  auditAll,
  count,
  jobsFor,
  type Machine,
  machineWith,
  median,
  nats,
  Q4,
  Q8,
  SMALL,
  sayAll,
} from './support/models.ts'
import { coarserQ4, coarserQ8, mergedLora } from './support/weights.ts'

const LIMIT_MS = 200_000
const OUTPUTS = 24
const LONG_OUTPUTS = 8

test.after(closeHosts)

type Tried = { readonly audits: readonly Audit[]; readonly line: string; readonly margins: readonly number[] }

/** Lets one model speak for another and audits it. */
async function tryOn(real: Machine, cheat: Machine, tokens: number, outputs = OUTPUTS): Promise<Tried> {
  const said = await sayAll(cheat, await jobsFor(real, outputs, { maxTokens: tokens }))
  // A cheat says of itself that it is what was asked for.
  const audits = await auditAll(real, said)
  const [fails, suspects] = [count(audits, ({ verdict }) => verdict === 'fail'), count(audits, isSuspect)]
  const mean = median(audits.map(({ statistics }) => statistics.meanMicro))
  const margins = audits.flatMap(({ positions }) => positions.map(({ margin }) => margin))
  const line = `${fails} of ${audits.length} outputs of at most ${tokens} tokens fail, ${suspects} more are suspect; median S1 ${nats(mean)} nats`
  return { audits, line, margins }
}

const isSuspect = ({ verdict }: Audit): boolean => verdict === 'suspect'
const isFound = ({ verdict }: Audit): boolean => verdict === 'fail' || verdict === 'suspect'
const isFail = ({ verdict }: Audit): boolean => verdict === 'fail'

/** Tokens until the sum's first alarm; undefined when these were too few. */
function tokensToAlarm(margins: readonly number[]): number | undefined {
  let cusum: Cusum = NO_EVIDENCE
  for (const [place, margin] of margins.entries()) {
    cusum = addMargin(cusum, margin)
    if (cusum.alarms > 0) return place + 1
  }
  return undefined
}

function alarmLine(tokens: number | undefined): string {
  return tokens === undefined ? 'raises no alarm' : `raises its alarm after ${tokens}`
}

async function pair(
  real: string,
  cheat: string,
  more: Partial<LoadRequest> = {},
): Promise<readonly [Machine, Machine]> {
  return [await machineWith(real), await machineWith(cheat, more)]
}

async function close(...machines: readonly Machine[]): Promise<void> {
  await Promise.all(machines.map(({ backend }) => backend.close()))
}

test(
  'row 1: a smaller sibling fails',
  within(LIMIT_MS, async () => {
    const [real, cheat] = await pair(Q8, SMALL)
    const { audits, line } = await tryOn(real, cheat, 64)
    observe(1, `cfab-tiny-small for cfab-tiny: ${line}`)
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
    await close(real, cheat)
  }),
)

test(
  'row 2: two quantisations lower fail',
  within(LIMIT_MS, async () => {
    const [real, cheat] = await pair(Q4, await coarserQ4(Q4, 2))
    const { audits, line } = await tryOn(real, cheat, 64)
    observe(2, `q4_0 with 2 bits left for q4_0 (no K-quants at hand): ${line}`)
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
    await close(real, cheat)
  }),
)

test(
  'row 3: one quantisation lower',
  within(LIMIT_MS, async () => {
    const [real4, cheat3] = await pair(Q4, await coarserQ4(Q4, 3))
    const three = await tryOn(real4, cheat3, 128)
    const alarm = tokensToAlarm(three.margins)
    observe(3, `q4_0 with 3 bits left for q4_0: ${three.line}; the cumulative sum ${alarmLine(alarm)}`)
    const [real8, cheat6] = await pair(Q8, await coarserQ8(Q8))
    const six = await tryOn(real8, cheat6, 128)
    observe(
      3,
      `q8_0 with 6 bits left for q8_0: ${six.line}; the cumulative sum of ${six.margins.length} tokens ${alarmLine(tokensToAlarm(six.margins))}`,
    )
    assert.ok(count(three.audits, isFound) >= 0.6 * three.audits.length)
    assert.ok(alarm !== undefined && alarm <= 3_000)
    await close(real4, cheat3, real8, cheat6)
  }),
)

test(
  'row 4: a cache in 8 bits',
  within(LIMIT_MS, async () => {
    const [real, cheat] = await pair(Q8, Q8, { kvType: 'q8_0' })
    const { audits, line, margins } = await tryOn(real, cheat, 128)
    observe(
      4,
      `keys and values in q8_0 (q4 is not offered): ${line}; the cumulative sum of ${margins.length} tokens ${alarmLine(tokensToAlarm(margins))}`,
    )
    assert.ok(audits.every(({ statistics }) => statistics.worstMicro < 1_000_000))
    await close(real, cheat)
  }),
)

test(
  'row 5: a merged LoRA fails',
  within(LIMIT_MS, async () => {
    const [real, cheat] = await pair(Q8, await mergedLora(Q8, 0.5))
    const { audits, line } = await tryOn(real, cheat, 256, LONG_OUTPUTS)
    observe(5, `a random update of rank 4 in queries and values, half their size (no trained one at hand): ${line}`)
    const slight = await machineWith(await mergedLora(Q8, 0.1))
    observe(5, `a tenth of their size: ${(await tryOn(real, slight, 256, LONG_OUTPUTS)).line}`)
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
    await close(real, cheat, slight)
  }),
)

/** Claimed, computed; of another family of models than the bundled ones. */
const STORIES = [
  [1, 'stories260K-f32.gguf', 'stories260K-4layers-f32.gguf', 64],
  [2, 'stories260K-q8_0.gguf', 'stories260K-q4_0.gguf', 64],
  [3, 'stories260K-q8_0.gguf', 'stories260K-q5_0.gguf', 128],
] as const

for (const [row, claimed, computed, tokens] of STORIES)
  test(
    `row ${row}: ${computed} for ${claimed}`,
    within(LIMIT_MS, async () => {
      const loads = [await sharedLoad(claimed), await sharedLoad(computed)]
      const [real, cheat] = await Promise.all(
        loads.flatMap((load) => (load === undefined ? [] : [machineWith(load.path, load)])),
      )
      if (real === undefined || cheat === undefined) return
      const { audits, line, margins } = await tryOn(real, cheat, tokens, LONG_OUTPUTS)
      const alarm = tokensToAlarm(margins)
      observe(row, `${computed} for ${claimed}: ${line}; the cumulative sum ${alarmLine(alarm)}`)
      assert.ok(alarm !== undefined && alarm <= 1_000)
      if (row === 1) assert.is(count(audits, isFail), audits.length)
      await close(real, cheat)
    }),
  )

test.run()
