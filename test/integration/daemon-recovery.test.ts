/** Daemons that stop in the middle, validators that fall silent, clients that ask twice or leave: every job still ends, once. */
import { request } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { textAt } from '../../node/commands/json.ts'
import type { Taps } from '../../node/daemon.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { ask, askJson } from '../support/control.ts'
import type { Fault } from '../support/fake-backend.ts'
import {
  assertBooks,
  chat,
  foundSwarm,
  openJobs,
  settledJob,
  submit,
  until,
  withFakeDaemon,
} from '../support/fake-daemon.ts'
import { getJson, parsed } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const STOP = 1
const SHORT_POLICY = { answerMs: 300, commitMs: 600, revealMs: 300, jobMs: 1_200 }
const slowly = (): Fault => ({ stepMs: 5 })

/** Says who hears nothing of one type of message; validators are counted in the order in which they are first asked for a vote. */
type Cut = (facts: { readonly validator: number; readonly works: boolean }) => boolean

function silentFor(type: string, isCut: Cut): Partial<Taps> {
  const seen = new Map<string, number>()
  const workers = new Set<string>()
  return {
    transport: (inner) => ({
      ...tapped(inner),
      async request(peer, asked, body, options) {
        if (asked.startsWith('vote/') && !seen.has(peer)) seen.set(peer, seen.size)
        if (asked === type && isCut({ validator: seen.get(peer) ?? seen.size, works: workers.has(peer) }))
          throw new FabricError('CF_MESH_PEER_UNREACHABLE')
        return inner.request(peer, asked, body, options)
      },
      openStream(peer, asked, body, options) {
        workers.add(peer)
        return inner.openStream(peer, asked, body, options)
      },
    }),
  }
}

/** Methods of a class are not its own properties: a spread would lose them. */
function tapped(inner: PeerTransport): PeerTransport {
  return {
    self: inner.self,
    request: (peer, type, body, options) => inner.request(peer, type, body, options),
    openStream: (peer, type, body, options) => inner.openStream(peer, type, body, options),
    onMessage: (type, handler) => inner.onMessage(type, handler),
    onStream: (type, handler) => inner.onStream(type, handler),
    close: () => inner.close(),
  }
}

async function phaseOf(url: string, id: string): Promise<string> {
  return textAt(await getJson(`${url}/api/v1/p2p/jobs/${id}`), 'phase')
}

test(
  'without a quorum for vote/assignment nobody is assigned, and the hold comes back by a certificate',
  within(15_000, async () => {
    const home = tempFolder()
    await foundSwarm(home, SHORT_POLICY)
    await withFakeDaemon(
      { home, taps: silentFor('vote/assignment', ({ validator }) => validator < 2) },
      async ({ url }) => {
        const { job, facts } = await settledJob(url, await submit(url, { replicas: 2 }))
        assert.equal([textAt(job, 'outcome'), textAt(job, 'reason')], ['refunded', 'no_workers'])
        assert.is(textAt(job, 'refund'), textAt(job, 'hold'))
        assert.is(facts.authority, 'certificate')
        await assertBooks(url)
      },
    )
  }),
)

for (const type of ['vote/findings', 'vote/settlement']) {
  test(
    `without a quorum for ${type} the hold comes back at the deadline, with a receipt that needs no votes`,
    within(15_000, async () => {
      const home = tempFolder()
      await foundSwarm(home, SHORT_POLICY)
      await withFakeDaemon({ home, taps: silentFor(type, ({ validator }) => validator < 2) }, async ({ url }) => {
        const { job, facts } = await settledJob(url, await submit(url, { replicas: 2 }))
        assert.is(textAt(job, 'outcome'), 'refunded')
        assert.is(textAt(job, 'reason'), 'deadline')
        assert.is(textAt(job, 'refund'), textAt(job, 'hold'))
        assert.is(facts.authority, 'expiry')
        await assertBooks(url)
      })
    }),
  )
}

for (const type of ['vote/assignment', 'vote/settlement']) {
  test(
    `one validator of four that is silent for ${type} stops nothing`,
    within(10_000, () =>
      withFakeDaemon({ taps: silentFor(type, ({ validator }) => validator === 0) }, async ({ url }) => {
        const { job } = await settledJob(url, await submit(url, { replicas: 2 }))
        assert.is(textAt(job, 'reason'), 'paid')
        await assertBooks(url)
      }),
    ),
  )
}

test(
  'a validator need not be heard about its own replica',
  within(10_000, () =>
    withFakeDaemon({ taps: silentFor('vote/findings', ({ works }) => works) }, async ({ url }) => {
      const { job } = await settledJob(url, await submit(url))
      assert.is(textAt(job, 'reason'), 'paid')
    }),
  ),
)

test(
  'peers that do not answer an offer are passed over for the spares',
  within(10_000, () => {
    const mute = new Set<string>()
    const transport: Taps['transport'] = (inner) => ({
      ...tapped(inner),
      async request(peer, type, body, options) {
        if (type === 'job/offer' && mute.size < 3) mute.add(peer)
        if (type === 'job/offer' && mute.has(peer)) throw new FabricError('CF_MESH_DEADLINE')
        return inner.request(peer, type, body, options)
      },
    })
    return withFakeDaemon({ taps: { transport } }, async ({ url }) => {
      const { job, facts } = await settledJob(url, await submit(url, { replicas: 2 }))
      assert.is(textAt(job, 'reason'), 'paid')
      assert.not.ok(facts.assignment?.workers.some((worker) => mute.has(worker)))
      const alone = await settledJob(url, await submit(url, { replicas: 3 }))
      assert.is(textAt(alone.job, 'reason'), 'no_workers')
      assert.is(textAt(alone.job, 'refund'), textAt(alone.job, 'hold'))
      await assertBooks(url)
    })
  }),
)

test(
  'a daemon that stops while workers work finishes the job after its next start',
  within(15_000, async () => {
    const home = tempFolder()
    const id = await withFakeDaemon({ home, faultOf: slowly }, async ({ url }) => {
      const job = await submit(url, { replicas: 3 })
      await until(async () => (await phaseOf(url, job)) === 'executing')
      return job
    })
    await withFakeDaemon({ home }, async ({ url }) => {
      const { job, pay } = await settledJob(url, id)
      assert.is(textAt(job, 'reason'), 'paid')
      assert.equal(pay, ['base+bonus', 'base+bonus', 'base+bonus'])
      await assertBooks(url)
    })
  }),
)

test(
  'after a restart the client that asks again reads the very output that is paid for',
  within(15_000, async () => {
    const home = tempFolder()
    const key = { 'idempotency-key': 'the same wish' }
    const body = { stream: true, cfab: { replicas: 3 } }
    // Three different answers: only one of them may be what the client reads and what the receipt says.
    const tagged = (tag: number) => (ids: readonly number[]) => [tag, ...ids.slice(0, 8), STOP]
    const first = (_request: unknown, index: number): Fault => ({
      edit: tagged(67 + index),
      stepMs: index === 1 ? 1 : 400,
    })
    await withFakeDaemon({ home, faultOf: first }, async ({ url }) => {
      void chat(url, body, key).catch(() => undefined)
      await until(async () => (await openJobs(url)) === 1)
      await until(async () => {
        const [job] = await jobsOf(url)
        return textAt(job, 'replicas', 1, 'state') === 'committed'
      })
    })
    const again = (_request: unknown, index: number): Fault => ({ edit: tagged(75 + index), stepMs: 1 })
    await withFakeDaemon({ home, faultOf: again }, async ({ url }) => {
      const answer = await chat(url, body, key)
      const read = contentOf(answer.body)
      const { job } = await settledJob(url, String(answer.headers['x-cfab-job']))
      assert.is(textAt(job, 'text'), read)
    })
  }),
)

async function jobsOf(url: string): Promise<readonly unknown[]> {
  const page = await getJson(`${url}/api/v1/p2p/jobs?limit=200`)
  return typeof page === 'object' && page !== null && 'items' in page && Array.isArray(page.items) ? page.items : []
}

function contentOf(events: string): string {
  const chunks = events.split('\n\n').filter((event) => event.startsWith('data: {'))
  const said = chunks.map((event) => textAt(parsed({ body: event.slice(6) }), 'choices', 0, 'delta', 'content'))
  return said.filter((text) => text !== '-').join('')
}

test(
  'the same key asked many times at once is one job',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const headers = { 'idempotency-key': 'all at once' }
      const ids = await Promise.all(Array.from({ length: 12 }, () => submit(url, {}, headers)))
      assert.is(new Set(ids).size, 1)
      const { body } = await chatConflict(url)
      assert.is(textAt(parsed({ body }), 'error', 'code'), 'CF_JOB_NONCE_USED')
      await settledJob(url, ids[0] ?? '')
      await assertBooks(url)
    }),
  ),
)

/** The same key with another wish. */
async function chatConflict(url: string): Promise<{ readonly body: string }> {
  const answer = await chat(url, { max_tokens: 3 }, { 'idempotency-key': 'all at once' })
  assert.is(answer.status, 409)
  return answer
}

test(
  'a client that hangs up in the middle leaves a settled job and a free slot',
  within(10_000, () =>
    withFakeDaemon({ engine: { slotCount: 1 }, faultOf: () => ({ stepMs: 20 }) }, async ({ url }) => {
      const id = await hangUpMidStream(url)
      const startedMs = performance.now()
      const { job } = await settledJob(url, id)
      assert.ok(performance.now() - startedMs < 2_000, 'the generation is stopped, not waited for')
      assert.ok(Number(textAt(job, 'replicas', 0, 'tokens')) < 20, 'it was stopped in the middle')
      assert.is((await chat(url, { max_tokens: 4 })).status, 200)
      await assertBooks(url)
    }),
  ),
)

/** @returns the job's id, after two events of its stream were read and the connection was destroyed */
function hangUpMidStream(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const sent = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false }, (response) => {
      let events = 0
      response.on('data', () => {
        events += 1
        if (events !== 2) return
        resolve(String(response.headers['x-cfab-job']))
        response.destroy()
      })
      response.on('error', () => undefined)
    })
    sent.on('error', reject)
    sent.end(JSON.stringify({ model: 'cfab-tiny', stream: true, messages: [{ role: 'user', content: 'Hello' }] }))
  })
}

test(
  'as many jobs as a node may hold at once are all run and paid; more are refused with a code',
  within(60_000, () =>
    withFakeDaemon({ engine: { slotCount: 2, waitingCountMax: 2_000 } }, async ({ url }) => {
      const wish = { model: 'cfab-tiny', prompt: 'Hello', max_tokens: 4 }
      const answers = await Promise.all(Array.from({ length: 280 }, () => askJson(`${url}/api/v1/p2p/intents`, wish)))
      const codes = answers.map((answer) => (answer.status === 202 ? 'taken' : textAt(parsed(answer), 'error', 'code')))
      const taken = codes.filter((code) => code === 'taken').length
      assert.ok(taken >= 256 && codes.every((code) => code === 'taken' || code === 'CF_JOB_QUEUE_FULL'), codes.join())
      await until(async () => (await openJobs(url)) === 0, 40_000)
      const ends = (await jobsOf(url)).map((job) => textAt(job, 'reason'))
      assert.ok(ends.length >= 200)
      assert.equal([...new Set(ends)], ['paid'])
      await assertBooks(url)
    }),
  ),
)

test(
  'whoever watches a job of an earlier run before the engine is there hears its phase and that the rest is pending',
  within(10_000, async () => {
    const home = tempFolder()
    const id = await withFakeDaemon({ home, faultOf: () => ({ stepMs: 100 }) }, async ({ url }) => {
      const job = await submit(url, { max_tokens: 200 })
      await until(async () => textAt(await getJson(`${url}/api/v1/p2p/jobs/${job}`), 'phase') === 'executing')
      return job
    })
    let load = (): void => undefined
    const loading = new Promise<void>((resolve) => {
      load = resolve
    })
    await withFakeDaemon({ home, loading }, async ({ url }) => {
      const { status, body } = await ask(`${url}/api/v1/p2p/jobs/${id}/events`)
      load()
      assert.is(status, 200)
      assert.match(body, /^event: phase\n.+\n\nevent: outcome\ndata: \{"outcome":"pending"/m)
      await settledJob(url, id)
    })
  }),
)

test.run()
