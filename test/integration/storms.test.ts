/** A thousand jobs that are given up at random moments leave nothing behind, whatever drives the engine. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Backend, DriverKind } from '../../models/backend.ts'
import { answerOf, NEVER, promptOf, requestOf } from '../support/ask-backend.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { storm } from '../support/storm.ts'
import { within } from '../support/within.ts'

const SLOTS = 12
const STREAMS = 20
const FRESH_TOKENS = 120
/** A generation that was given up is gone within a step; this is many. */
const IDLE_MS_MAX = 5_000

type Loadable = Exclude<DriverKind, 'onnx'>

async function hostOf(driver: Loadable): Promise<Backend> {
  const { backend } = createHost()
  await backend.load({ ...TINY_LOAD, driver, slotCount: SLOTS, cachedSequences: 4 })
  return backend
}

async function idle(backend: Backend): Promise<void> {
  const startMs = performance.now()
  for (;;) {
    const { slotsBusy, jobsWaiting } = await backend.metrics()
    if (slotsBusy + jobsWaiting === 0) return
    if (performance.now() - startMs > IDLE_MS_MAX) throw new Error(`${slotsBusy} slots busy, ${jobsWaiting} wait`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** As many fresh jobs as there are slots, at once. @returns their ids, and the slots that they began in */
async function fill(backend: Backend): Promise<{ readonly ids: number[][]; readonly slots: ReadonlySet<number> }> {
  const promptIds = await promptOf(backend)
  const jobs = Array.from({ length: SLOTS }, (_, seed) => requestOf(promptIds, seed, FRESH_TOKENS))
  const answers = await Promise.all(jobs.map((job) => answerOf(backend.generate(job, NEVER))))
  const slots = new Set(answers.map(({ batches }) => batches[0]?.slot ?? -1))
  return { ids: answers.map(({ ids }) => ids), slots }
}

function stormTest(driver: Loadable, aborts: number): void {
  test(
    `${driver}: ${aborts} jobs given up over ${SLOTS} slots leave every slot free and every answer as it was`,
    within(120_000, async () => {
      const seed = testSeed()
      const [backend, quiet] = [await hostOf(driver), await hostOf(driver)]
      const before = await quiet.metrics()
      const counts = await storm(backend, { aborts, streams: STREAMS, random: seededRandom(seed) })
      console.log(driver, JSON.stringify({ ...counts, failed: counts.failed.length }))
      assert.equal(counts.failed, [])
      assert.ok(counts.aborted > aborts / 4 && counts.left > aborts / 50 && counts.audits > 0, 'it was a storm')
      await idle(backend)
      const [after, calm] = [await fill(backend), await fill(quiet)]
      assert.equal(after.ids, calm.ids)
      assert.is(after.slots.size, SLOTS)
      await idle(backend)
      assert.is(before.slotsBusy, 0)
      await Promise.all([backend.close(), quiet.close()])
    }),
  )
}

if (hasNativeEngine()) stormTest('native', 1_000)
stormTest('lockstep', 150)

test.after(closeHosts)
test.run()
