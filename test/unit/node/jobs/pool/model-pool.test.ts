/** Models that come when they are asked for and go when others need the room: who waits, who goes, who is told what. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../../core/errors.ts'
import { codeOf } from '../../../../support/error-code.ts'
import { digestFor, type FakePool, fakeEntry, fakePool, NEVER } from '../../../../support/fake-pool.ts'
import { settle } from '../../../../support/manual-clock.ts'
import { seededRandom, testSeed } from '../../../../support/seeded-random.ts'
import { within } from '../../../../support/within.ts'

const LIMIT_MS = 5_000
const MINUTE_MS = 60_000

function ask({ pool }: FakePool, id: string): Promise<string> {
  return pool.useNamed(id, NEVER, async ({ entry }) => entry.id)
}

/** Uses a model until what it returns is called. */
async function hold({ pool }: FakePool, id: string): Promise<() => Promise<void>> {
  const ending = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const used = pool.useNamed(id, NEVER, async () => {
    begun.resolve()
    await ending.promise
  })
  await begun.promise
  return async () => {
    ending.resolve()
    await used
  }
}

test(
  'many first requests for a model cause one load, and all of them get it',
  within(LIMIT_MS, async () => {
    const gate = Promise.withResolvers<void>()
    const fake = fakePool(['a', 'b'], { gateOf: () => gate.promise })
    const asked = Array.from({ length: 20 }, () => ask(fake, 'a'))
    await settle()
    assert.is(fake.member('a').state, 'starting', 'its host is')
    gate.resolve()
    assert.equal(new Set(await Promise.all(asked)), new Set(['a']))
    assert.is(fake.hosts.get('a')?.length, 1)
    assert.is(fake.member('a').loadCount, 1)
    assert.equal(fake.resident(), ['a'])
  }),
)

test(
  'with room for two, the third sends away the one that nobody has used for the longest time',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b', 'c'], { modelsMax: 2 })
    for (const id of ['a', 'b', 'a']) {
      await ask(fake, id)
      await fake.clock.advance(10)
    }
    await ask(fake, 'c')
    assert.equal(fake.resident(), ['a', 'c'])
    assert.ok(fake.hosts.get('b')?.[0]?.isClosed)
    assert.is(await ask(fake, 'b'), 'b')
    assert.equal(fake.resident(), ['b', 'c'])
    const { unloadCount, loadCount } = fake.member('b')
    assert.equal([loadCount, unloadCount], [2, 1])
  }),
)

test(
  'memory bounds them as well as their number, and what can never fit is told so at once',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b', 'c', 'huge'], { totalMib: 500, mib: { a: 200, b: 200, c: 300, huge: 501 } })
    await ask(fake, 'a')
    await fake.clock.advance(10)
    await ask(fake, 'b')
    await ask(fake, 'c')
    assert.equal(fake.resident(), ['b', 'c'])
    assert.is(await codeOf(ask(fake, 'huge')), 'CF_MODEL_OUT_OF_MEMORY')
    assert.equal(fake.resident(), ['b', 'c'], 'nobody goes for one that does not fit')
  }),
)

test(
  'a model of the start is never sent away, and one that does not fit beside it never comes',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['chat', 'a', 'b'], { startCount: 1, totalMib: 300, mib: { chat: 100, a: 150, b: 250 } })
    await fake.pool.loadFirst(fake.member('chat'))
    await ask(fake, 'a')
    assert.is(await codeOf(ask(fake, 'b')), 'CF_MODEL_OUT_OF_MEMORY')
    await fake.clock.advance(60 * MINUTE_MS)
    assert.equal(fake.resident(), ['chat'])
    const unpinned = fakePool(['chat', 'b'], { startCount: 1, pinsStart: false, totalMib: 300, mib: { b: 250 } })
    await unpinned.pool.loadFirst(unpinned.member('chat'))
    assert.is(await ask(unpinned, 'b'), 'b')
    assert.equal(unpinned.resident(), ['b'])
  }),
)

test(
  'a model in use stays: who needs its room waits, and comes in when it is free',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b'], { modelsMax: 1 })
    const release = await hold(fake, 'a')
    const waiting = ask(fake, 'b')
    await fake.clock.advance(30_000)
    assert.equal([fake.resident(), fake.member('b').state], [['a'], 'waiting'])
    await release()
    assert.is(await waiting, 'b')
    assert.equal(fake.resident(), ['b'])
  }),
)

test(
  'who waits for room in vain is told to come back',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b'], { modelsMax: 1 })
    const release = await hold(fake, 'a')
    const waiting = codeOf(ask(fake, 'b'))
    await settle()
    await fake.clock.advance(MINUTE_MS)
    assert.is(await waiting, 'CF_WORKER_STARTING')
    await release()
    assert.is(await ask(fake, 'b'), 'b', 'that others were busy is not held against it')
  }),
)

test(
  'a load that takes longer than anybody waits goes on, and the next who asks finds it done',
  within(LIMIT_MS, async () => {
    const gate = Promise.withResolvers<void>()
    const fake = fakePool(['a'], { gateOf: () => gate.promise })
    const waiting = codeOf(ask(fake, 'a'))
    await settle()
    await fake.clock.advance(MINUTE_MS)
    assert.is(await waiting, 'CF_WORKER_STARTING')
    gate.resolve()
    await settle()
    assert.is(await ask(fake, 'a'), 'a')
    assert.is(fake.hosts.get('a')?.length, 1)
  }),
)

test(
  'a model goes when nobody has asked for it for as long as it is kept',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b'], { keepAliveMs: 10 * MINUTE_MS })
    await ask(fake, 'a')
    await fake.clock.advance(9 * MINUTE_MS)
    await ask(fake, 'a')
    await fake.clock.advance(9 * MINUTE_MS)
    const release = await hold(fake, 'a')
    await fake.clock.advance(60 * MINUTE_MS)
    assert.equal(fake.resident(), ['a'], 'in use')
    await release()
    await fake.clock.advance(10 * MINUTE_MS - 1)
    assert.equal(fake.resident(), ['a'])
    await fake.clock.advance(1)
    assert.equal([fake.resident(), fake.member('a').state], [[], 'absent'])
    assert.ok(fake.events.some((event) => event.type === 'model_unloaded' && event.model === 'a'))
  }),
)

test(
  'kept for no time a model goes a second after its last use; kept for ever it goes only for another',
  within(LIMIT_MS, async () => {
    const brief = fakePool(['a'], { keepAliveMs: 0 })
    await ask(brief, 'a')
    await brief.clock.advance(999)
    assert.equal(brief.resident(), ['a'])
    await brief.clock.advance(1)
    assert.equal(brief.resident(), [])
    const lasting = fakePool(['a', 'b'], { keepAliveMs: null, modelsMax: 1 })
    await ask(lasting, 'a')
    await lasting.clock.advance(10_000 * MINUTE_MS)
    assert.equal(lasting.resident(), ['a'])
    await ask(lasting, 'b')
    assert.equal(lasting.resident(), ['b'])
  }),
)

test(
  'a model can be loaded before it is asked for, with a time of its own',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a'], { keepAliveMs: null })
    await fake.pool.load(fake.member('a'), NEVER, 5_000)
    const [row] = await fake.pool.running()
    assert.equal([row?.state, row?.expiresMs, row?.idleMs, row?.pinned], ['ready', 1_005_000, 0, false])
    await fake.clock.advance(5_000)
    assert.equal(await fake.pool.running(), [])
  }),
)

test(
  'what is in use is not unloaded on request either; what is idle is, once',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a'])
    const release = await hold(fake, 'a')
    assert.is(await codeOf((async () => fake.pool.unload(fake.member('a'), 'test'))()), 'CF_MODEL_IN_USE')
    await release()
    await Promise.all([fake.pool.unload(fake.member('a'), 'test'), fake.pool.unload(fake.member('a'), 'test')])
    assert.equal([fake.resident(), fake.member('a').unloadCount], [[], 1])
    await fake.pool.unload(fake.member('a'), 'test')
    assert.is(fake.member('a').unloadCount, 1)
  }),
)

test(
  'a job keeps its model from before it computes until it lets go, and facts outlive the model',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a', 'b'], { modelsMax: 1 })
    assert.is(fake.pool.facts(digestFor('a')), undefined)
    await ask(fake, 'a')
    const leave = fake.pool.engage(digestFor('a'))
    const other = ask(fake, 'b')
    await settle()
    assert.equal(fake.resident(), ['a'])
    leave()
    leave()
    await other
    assert.equal([fake.resident(), fake.member('a').uses], [['b'], 0])
    assert.is(fake.pool.find(digestFor('a')), undefined)
    assert.is(fake.pool.facts(digestFor('a'))?.megaParams, fake.member('a').entry.megaParams)
    assert.is(await fake.pool.use(digestFor('a'), NEVER, async ({ entry }) => entry.id), 'a')
  }),
)

test(
  'before its first load a model of the start is not waited for by name, but by its jobs',
  within(LIMIT_MS, async () => {
    const gate = Promise.withResolvers<void>()
    const fake = fakePool(['chat'], { startCount: 1, gateOf: () => gate.promise })
    const first = fake.pool.loadFirst(fake.member('chat'))
    assert.is(await codeOf(ask(fake, 'chat')), 'CF_WORKER_STARTING')
    const job = fake.pool.use(digestFor('chat'), NEVER, async () => 'computed')
    gate.resolve()
    await first
    assert.equal([await job, await ask(fake, 'chat')], ['computed', 'chat'])
    assert.is(fake.hosts.get('chat')?.length, 1)
  }),
)

test(
  'a load that fails is told to all who wait, remembered for a while, then tried again',
  within(LIMIT_MS, async () => {
    let tries = 0
    const gateOf = async (): Promise<void> => {
      tries += 1
      if (tries === 1) throw new FabricError('CF_MODEL_DIGEST_MISMATCH')
    }
    const fake = fakePool(['a'], { gateOf })
    const codes = await Promise.all([codeOf(ask(fake, 'a')), codeOf(ask(fake, 'a'))])
    assert.equal(codes, ['CF_MODEL_DIGEST_MISMATCH', 'CF_MODEL_DIGEST_MISMATCH'])
    assert.equal([fake.member('a').state, fake.resident()], ['failed', []])
    assert.ok(fake.hosts.get('a')?.[0]?.isClosed, 'its host is gone')
    await fake.clock.advance(29_000)
    assert.is(await codeOf(ask(fake, 'a')), 'CF_MODEL_DIGEST_MISMATCH')
    assert.is(tries, 1)
    await fake.clock.advance(1_000)
    assert.equal([await ask(fake, 'a'), tries], ['a', 2])
  }),
)

test(
  'a model that is pulled can be asked for; one whose file is removed goes when nobody uses it',
  within(LIMIT_MS, async () => {
    const fake = fakePool(['a'])
    assert.is(await codeOf(ask(fake, 'b')), 'CF_MODEL_UNKNOWN')
    fake.pool.setEntries(['a', 'b'].map((id) => fakeEntry(id)))
    assert.is(await ask(fake, 'b'), 'b')
    const release = await hold(fake, 'b')
    fake.pool.setEntries([fakeEntry('a')])
    assert.is(await codeOf(ask(fake, 'b')), 'CF_MODEL_UNKNOWN')
    await fake.clock.advance(MINUTE_MS)
    assert.equal(fake.resident(), ['b'])
    await release()
    await fake.clock.advance(1_000)
    assert.equal([fake.resident(), fake.pool.members.length], [[], 1])
    fake.pool.setEntries([fakeEntry('a', 'another file')])
    assert.is(await ask(fake, 'a'), 'a')
    assert.is(fake.pool.find(digestFor('a')), undefined, 'the file of the same name is another')
  }),
)

test(
  'two names of one file share it for jobs, whichever of them is in memory',
  within(LIMIT_MS, async () => {
    const fake = fakePool([])
    fake.pool.setEntries([fakeEntry('a'), fakeEntry('b', 'a')])
    await ask(fake, 'b')
    assert.is(await fake.pool.use(digestFor('a'), NEVER, async ({ entry }) => entry.id), 'b')
    assert.equal(fake.resident(), ['b'])
  }),
)

test(
  'when the node stops, who waits is told so and no host is left',
  within(LIMIT_MS, async () => {
    const gate = Promise.withResolvers<void>()
    const fake = fakePool(['a', 'b'], { gateOf: (id) => (id === 'a' ? Promise.resolve() : gate.promise) })
    await ask(fake, 'a')
    const waiting = codeOf(ask(fake, 'b'))
    await settle()
    const closed = fake.pool.close()
    gate.resolve()
    await closed
    assert.is(await waiting, 'CF_CONTROL_SHUTTING_DOWN')
    assert.ok([...fake.hosts.values()].flat().every(({ isClosed }) => isClosed))
    assert.is(await codeOf(ask(fake, 'a')), 'CF_CONTROL_SHUTTING_DOWN')
    assert.equal(fake.clock.sleeping, [], 'nothing is left to wake up')
  }),
)

test(
  'a storm of requests never has more in memory than there is room for, and never closes what is in use',
  within(20_000, async () => {
    const { below } = seededRandom(testSeed())
    const ids = ['a', 'b', 'c', 'd', 'e', 'f']
    const mib = { a: 100, b: 150, c: 200, d: 250, e: 300, f: 350 }
    const fake = fakePool(ids, { modelsMax: 3, totalMib: 600, keepAliveMs: 5_000, mib })
    const check = (): void => {
      const here = fake.pool.members.flatMap(({ resident }) => resident ?? [])
      const bytes = here.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
      assert.ok(here.length <= 3 && bytes <= 600 * 1_048_576, `${here.length} models, ${bytes} bytes`)
    }
    const codes = new Set<string>()
    const one = async (id: string): Promise<void> => {
      const used = fake.pool.useNamed(id, NEVER, async () => {
        for (let step = below(5); step >= 0; step -= 1) {
          assert.ok(fake.member(id).resident !== undefined && !fake.hosts.get(id)?.at(-1)?.isClosed, id)
          check()
          await fake.clock.sleep(below(200))
        }
      })
      await used.catch((error: unknown) => codes.add(error instanceof FabricError ? error.code : String(error)))
    }
    let running = 0
    for (let round = 0; round < 400; round += 1) {
      running += 1
      void one(ids[below(ids.length)] ?? 'a').finally(() => {
        running -= 1
      })
      await fake.clock.advance(below(100))
      check()
    }
    while (running > 0) await fake.clock.advance(1_000)
    assert.equal(
      [...codes].filter((code) => code !== 'CF_WORKER_STARTING'),
      [],
    )
    await fake.clock.advance(10_000)
    assert.equal([fake.resident(), fake.pool.members.map(({ uses }) => uses)], [[], [0, 0, 0, 0, 0, 0]])
  }),
)

test.run()
