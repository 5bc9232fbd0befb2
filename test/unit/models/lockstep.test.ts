import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import type { CallBatch } from '../../../models/frames.ts'
import { Lockstep, type StepEngine } from '../../../models/lockstep.ts'
import type { Progress, Run, Step } from '../../../models/run.ts'
import { within } from '../../support/within.ts'

type Log = { readonly slot: number; readonly tokens: number }[]

/** Notes what is computed together. */
function engineOf(slotCount: number): {
  readonly engine: StepEngine
  readonly steps: Log[]
  readonly cleared: number[]
} {
  const steps: Log[] = []
  const cleared: number[] = []
  let current: Log | undefined
  const evaluate = async (slot: number, step: Step) => {
    if (current === undefined) {
      current = []
      steps.push(current)
      setImmediate(() => {
        current = undefined
      })
    }
    current.push({ slot, tokens: step.ids.length })
    await new Promise((resolve) => setImmediate(resolve))
    return step.ask === 'none' ? [] : [{ ids: [7], logits: [0] }]
  }
  const clear = async (slot: number) => {
    cleared.push(slot)
  }
  return { engine: { slotCount, evaluate, clear }, steps, cleared }
}

/** Reads prompt chunks of these sizes, then says so many tokens. */
function runOf(call: number, chunks: readonly number[], tokens: number, kind: Run['kind'] = 'generate'): Run {
  const left = [...chunks]
  let said = 0
  const batch = { ids: [7], logprobs: [0], text: 'x' }
  return {
    call,
    kind,
    next: () => ({ ids: Array.from({ length: left.shift() ?? 1 }, () => 0), ask: left.length > 0 ? 'none' : 'last' }),
    take: (candidates): Progress => {
      if (candidates.length === 0) return { ended: false }
      said += 1
      return said === tokens ? { batch: { ...batch, finish: 'length' }, ended: true } : { batch, ended: false }
    },
    cancel: () => ({ batch: { ids: [], logprobs: [], text: '', finish: 'aborted' }, ended: true }),
  }
}

/** Runs until these calls have ended. */
async function drive(
  slotCount: number,
  runs: readonly Run[],
  onStep: (driver: Lockstep, step: number) => void = () => undefined,
) {
  const { engine, steps, cleared } = engineOf(slotCount)
  const said: CallBatch[] = []
  const failed: number[] = []
  const ended = Promise.withResolvers<void>()
  let step = 0
  const checkEnd = (): void => {
    const finished = said.filter(({ batch }) => batch.finish !== undefined)
    if (finished.length + failed.length === runs.length) ended.resolve()
  }
  const driver: Lockstep = new Lockstep(
    engine,
    (batches) => {
      said.push(...batches)
      checkEnd()
      onStep(driver, step++)
    },
    (call) => {
      failed.push(call)
      checkEnd()
    },
  )
  for (const run of runs) driver.add(run)
  await ended.promise
  await new Promise((resolve) => setImmediate(resolve))
  return { driver, steps, cleared, said, failed }
}

const slotsOf = (log: Log): number[] => log.map(({ slot }) => slot)

test(
  'all active sequences are in every batch',
  within(2_000, async () => {
    const { steps } = await drive(
      4,
      [1, 2, 3, 4].map((call) => runOf(call, [5], 3)),
    )
    assert.equal(steps.map(slotsOf), [
      [0, 1, 2, 3],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ])
  }),
)

test(
  'a freed slot goes to the next in line, the lowest first',
  within(2_000, async () => {
    const { said, cleared } = await drive(2, [runOf(1, [2], 1), runOf(2, [2], 1), runOf(3, [2], 2), runOf(4, [2], 1)])
    const slots = new Map(said.map(({ call, batch }) => [call, batch.slot]))
    assert.equal(
      [...slots],
      [
        [1, 0],
        [2, 1],
        [3, 0],
        [4, 1],
      ],
    )
    assert.is(cleared.length, 4)
  }),
)

test(
  'prompts share one chunk of tokens a step, the oldest first, and hold up no decoding',
  within(2_000, async () => {
    const { steps } = await drive(3, [runOf(1, [10], 8), runOf(2, [63, 63], 1), runOf(3, [40], 1)])
    const firsts = steps.slice(0, 6).map((log) => log.map(({ slot, tokens }) => `${slot}:${tokens}`).join(' '))
    assert.equal(firsts, ['0:10 2:40', '0:1', '1:63', '0:1', '1:63', '0:1'])
    for (const log of steps)
      assert.ok(log.filter(({ tokens }) => tokens > 1).reduce((sum, { tokens }) => sum + tokens, 0) <= 63)
  }),
)

test(
  'a long chunk shares its pass with no other prompt',
  within(2_000, async () => {
    const { steps } = await drive(3, [runOf(1, [512, 40], 1), runOf(2, [20], 1), runOf(3, [30], 1)])
    const first = steps.slice(0, 2).map((log) => log.map(({ slot, tokens }) => `${slot}:${tokens}`).join(' '))
    assert.equal(first, ['0:512', '0:40 1:20'])
  }),
)

test(
  'prompts are read in a pass of their own, after the tokens of those that speak',
  within(2_000, async () => {
    const { steps, driver } = await drive(2, [runOf(1, [10], 4), runOf(2, [63], 1)])
    for (const log of steps) assert.ok(log.every(({ tokens }) => tokens > 1) || log.every(({ tokens }) => tokens === 1))
    assert.is(driver.passes, steps.length)
    assert.ok(driver.passMs >= 0)
  }),
)

test(
  'a run that fails for a reason of its own says so, frees its slot and leaves the others alone',
  within(2_000, async () => {
    const failing: Run = {
      ...runOf(1, [2], 5),
      take: () => ({ ended: true, failure: new FabricError('CF_JOB_INVALID') }),
    }
    const { said, failed, cleared } = await drive(2, [failing, runOf(2, [2], 3), runOf(3, [2], 1)])
    assert.equal(failed, [1])
    assert.equal(
      said.map(({ call }) => call),
      [2, 2, 3, 2],
    )
    assert.is(cleared.length, 3)
  }),
)

test(
  'a cancelled run ends within a step, running or waiting, and the others go on',
  within(2_000, async () => {
    const { said, driver } = await drive(
      1,
      [runOf(1, [2], 50), runOf(2, [2], 50), runOf(3, [2], 3)],
      (lockstep, step) => {
        if (step === 2) lockstep.cancel(1)
        if (step === 2) lockstep.cancel(2)
      },
    )
    const finishOf = (wanted: number) => said.findLast(({ call }) => call === wanted)?.batch.finish
    assert.equal([1, 2, 3].map(finishOf), ['aborted', 'aborted', 'length'])
    assert.ok(said.filter(({ call }) => call === 1).length <= 5)
    assert.is(said.filter(({ call }) => call === 2).length, 1)
    assert.is(driver.slotsBusy, 0)
  }),
)

test(
  'abort resolves after the last words of every generation and leaves audits alone',
  within(2_000, async () => {
    const { engine } = engineOf(2)
    const said: CallBatch[] = []
    const driver = new Lockstep(
      engine,
      (batches) => said.push(...batches),
      () => undefined,
    )
    for (const call of [1, 3, 4]) driver.add(runOf(call, [2], 1_000))
    driver.add(runOf(2, [2], 1_000, 'audit'))
    await new Promise((resolve) => setImmediate(resolve))
    await driver.abort()
    assert.equal(
      said
        .filter(({ batch }) => batch.finish === 'aborted')
        .map(({ call }) => call)
        .sort(),
      [1, 3, 4],
    )
    await new Promise((resolve) => setTimeout(resolve, 5))
    assert.is(driver.slotsBusy, 1)
    driver.cancel(2)
  }),
)

test(
  'what is read and what is said is counted',
  within(2_000, async () => {
    const { driver } = await drive(2, [runOf(1, [63, 10], 4), runOf(2, [5], 2)])
    assert.is(driver.tokensDecoded, 6)
    assert.is(driver.tokensPrefilled, 78)
  }),
)

test.run()
