/** Daemons that stop in the middle, validators that fall silent, clients that ask twice or leave: every job still ends, once. */
import { request } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { textAt } from '../../node/commands/json.ts'
import type { Taps } from '../../node/daemon.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import type { Fault } from '../support/fake-backend.ts'
import {
  assertBooks,
  chat,
  foundSwarm,
  openJobs,
  receiptFacts,
  settledJob,
  submit,
  withFakeDaemon,
} from '../support/fake-daemon.ts'
import { getJson, parsed } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const STOP = 1
const SHORT_POLICY = { answerMs: 300, commitMs: 600, revealMs: 300, jobMs: 1_200 }
const slowly = (): Fault => ({ stepMs: 5 })

/** Cuts off the validators that `isCut` picks, counted in the order in which the daemon connects them, for one type of message. */
function silentFor(type: string, isCut: (validator: number) => boolean): Partial<Taps> {
  const seen = new Map<string, number>()
  return {
    transport: (inner): PeerTransport => ({
      self: inner.self,
      async request(peer, asked, body, options) {
        if (asked.startsWith('vote/') && !seen.has(peer)) seen.set(peer, seen.size)
        if (asked === type && isCut(seen.get(peer) ?? 0)) throw new FabricError('CF_MESH_PEER_UNREACHABLE')
        return inner.request(peer, asked, body, options)
      },
      openStream: (peer, asked, body, options) => inner.openStream(peer, asked, body, options),
      onMessage: (asked, handler) => inner.onMessage(asked, handler),
      onStream: (asked, handler) => inner.onStream(asked, handler),
      close: () => inner.close(),
    }),
  }
}

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 5))
}

async function phaseOf(url: string, id: string): Promise<string> {
  return textAt(await getJson(`${url}/api/v1/p2p/jobs/${id}`), 'phase')
}

for (const type of ['vote/assignment', 'vote/findings', 'vote/settlement']) {
  test(
    `without a quorum for ${type} the hold comes back at the deadline, with a receipt that needs no votes`,
    within(15_000, async () => {
      const home = tempFolder()
      await foundSwarm(home, SHORT_POLICY)
      await withFakeDaemon({ home, taps: silentFor(type, (validator) => validator < 2) }, async ({ url }) => {
        const { job, facts } = await settledJob(url, await submit(url, { replicas: 2 }))
        assert.is(textAt(job, 'outcome'), 'refunded')
        assert.is(textAt(job, 'reason'), 'deadline')
        assert.is(textAt(job, 'refund'), textAt(job, 'hold'))
        assert.is(facts.authority, 'expiry')
        await assertBooks(url)
      })
    }),
  )

  test(
    `one validator of four that is silent for ${type} stops nothing`,
    within(10_000, () =>
      withFakeDaemon({ taps: silentFor(type, (validator) => validator === 0) }, async ({ url }) => {
        const { job } = await settledJob(url, await submit(url, { replicas: 2 }))
        assert.is(textAt(job, 'reason'), 'verified')
        await assertBooks(url)
      }),
    ),
  )
}

test(
  'workers that do not answer an offer are passed over for the spares',
  within(10_000, () =>
    withFakeDaemon({ taps: silentFor('job/offer', () => false) }, async ({ url }) => {
      const { job } = await settledJob(url, await submit(url, { replicas: 5 }))
      assert.is(textAt(job, 'reason'), 'verified')
    }),
  ),
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
      assert.is(textAt(job, 'reason'), 'verified')
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
  const page = await getJson(`${url}/api/v1/p2p/jobs`)
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
  'a hundred jobs at once on one slot all end, paid or refunded, and the books add up',
  within(30_000, () =>
    withFakeDaemon({ engine: { slotCount: 2, waitingCountMax: 8 } }, async ({ url }) => {
      const ids = await Promise.all(Array.from({ length: 100 }, () => submit(url, { replicas: 2 })))
      await until(async () => (await openJobs(url)) === 0)
      const outcomes = await Promise.all(ids.map(async (id) => (await receiptFacts(url, id)).settlement.outcome))
      assert.ok(outcomes.includes('paid'))
      await assertBooks(url)
    }),
  ),
)

test.run()
