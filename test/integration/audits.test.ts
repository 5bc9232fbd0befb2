/** The edge's part in audits over every role of a swarm in one process: whom it asks, whom it does without, and what it counts. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { PeerId } from '../../core/ids.ts'
import { nodeAccount, parseDigest } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { SettledJob } from '../../core/job/job.ts'
import { auditCodec } from '../../core/verification/audit.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { FAKE_DIGEST } from '../support/fake-backend.ts'
import { expectAccepted } from '../support/job-run.ts'
import { heardBy, JobSwarm, type JobSwarmOptions } from '../support/job-swarm.ts'
import { lookedAt } from '../support/looked-at.ts'
import { within } from '../support/within.ts'

const ROW = {
  ...{ prover: ANY_CLASS, verifier: ANY_CLASS, honestAudits: 1, honestTokens: 1 },
  ...{ suspectMicro: [1, 1, 1, 1], failMicro: [2, 2, 2, 2], worstMicro: 1 },
}

/** The fake engines differ by nothing at all. */
function tableOf(): PolicyTable {
  const model = parseDigest(FAKE_DIGEST)
  invariant(model !== undefined, 'the fake model has a digest')
  return { model, engine: 'fake', rows: [0, 1, 2].map((temperature) => ({ ...ROW, temperature })) }
}

async function settled(swarm: JobSwarm, parts: Parameters<JobSwarm['submit']>[0] = {}) {
  const { id, feed } = await swarm.submit(parts)
  const { outcome } = await heardBy(feed.listen(AbortSignal.timeout(11_000)))
  assert.equal(swarm.bugs, [])
  const job = swarm.coordinator.job(id)
  if (job?.phase !== 'settled') throw new Error(`the job is ${job?.phase}`)
  return { job, outcome }
}

function auditorsIn(job: SettledJob): readonly PeerId[] {
  const { swarmId } = job
  return job.audits.flatMap(({ reports }) =>
    reports.map((report) => expectAccepted(openAs(auditCodec, report, swarmId as Parameters<typeof openAs>[2])).signer),
  )
}

async function withJobSwarm(options: JobSwarmOptions, work: (swarm: JobSwarm) => Promise<void>): Promise<void> {
  const swarm = await JobSwarm.start(options)
  try {
    await work(swarm)
  } finally {
    swarm.stop()
  }
}

test(
  'an output is reported on by others than its worker, is called audited only where the log has thresholds, and only there are they paid',
  within(12_000, async () => {
    for (const [table, assurance] of [
      [undefined, 'unaudited'],
      [tableOf(), 'audited'],
    ] as const)
      await withJobSwarm(table === undefined ? {} : { table }, async (swarm) => {
        const { job, outcome } = await settled(swarm)
        assert.equal([outcome.reason, outcome.assurance], ['paid', assurance])
        const auditors = auditorsIn(job)
        assert.ok(auditors.length >= 1)
        assert.not.ok(auditors.includes(job.replicas[0]?.worker ?? (auditors[0] as PeerId)))
        for (const auditor of auditors)
          assert.is(swarm.log.balance(nodeAccount(auditor)) > 0n, table !== undefined, assurance)
      })
  }),
)

test(
  'an edge that reaches nobody yet, as after a restart, asks again before it lets an output go unaudited',
  within(15_000, async () => {
    let fromMs = Number.POSITIVE_INFINITY
    let refused = 0
    const tap = (inner: PeerTransport): PeerTransport =>
      lookedAt(inner, (type, peer) => {
        if (type !== 'audit/ask') return
        fromMs = Math.min(fromMs, Date.now() + 1_000)
        if (Date.now() >= fromMs) return
        refused += 1
        throw new FabricError('CF_MESH_PEER_UNREACHABLE', { peer })
      })
    await withJobSwarm({ table: tableOf(), tap }, async (swarm) => {
      const { outcome } = await settled(swarm)
      assert.ok(refused > 0)
      assert.equal([outcome.reason, outcome.assurance], ['paid', 'audited'])
    })
  }),
)

test(
  'reports are handed in by rank, also where the best ranked auditor was reached last',
  within(20_000, async () => {
    const asked: PeerId[] = []
    const tap = (inner: PeerTransport): PeerTransport =>
      lookedAt(inner, (type, peer) => {
        if (type !== 'audit/ask') return
        const times = asked.filter((one) => one === peer).length
        asked.push(peer)
        const [best, second] = new Set(asked)
        if (peer === best && times === 0) throw new FabricError('CF_MESH_PEER_UNREACHABLE', { peer })
        if (peer !== best && peer !== second) throw new FabricError('CF_MESH_REFUSED', { reason: 'no_model' })
      })
    const edit = (ids: readonly number[]) => ids.map((id, place) => (place === 1 ? id + 1 : id))
    const cheating = { table: tableOf(), tap, validatorsCompute: true, engine: { faultOf: () => ({ edit }) } }
    await withJobSwarm(cheating, async (swarm) => {
      const { job } = await settled(swarm)
      const [best, second] = new Set(asked)
      assert.equal(auditorsIn(job), [best, second])
      assert.equal([job.outcome, job.reason], ['refunded', 'output_rejected'])
      for (const auditor of auditorsIn(job))
        assert.ok(swarm.log.balance(nodeAccount(auditor)) > 0n, 'paid all the same')
    })
  }),
)

test(
  'auditors that are gone are passed over: others report, or nobody does and the job is paid as unaudited',
  within(30_000, async () => {
    for (const left of [4, 1])
      await withJobSwarm({ table: tableOf(), policy: { jobMs: 40_000, attemptsMax: 3 } }, async (swarm) => {
        const { id, feed } = await swarm.submit()
        const outcome = heardBy(feed.listen(AbortSignal.timeout(25_000)))
        const job = swarm.coordinator.job(id)
        const [worker] = job?.draw.ranked ?? []
        const others = swarm.log.state.genesis.members.filter(({ peer, roles }) => (roles & 1) !== 0 && peer !== worker)
        for (const { peer } of others.slice(0, others.length + 1 - left)) await swarm.kill(peer)
        const { reason, assurance } = (await outcome).outcome
        assert.is(reason, 'paid')
        assert.ok(left > 1 ? ['audited', 'unaudited'].includes(assurance) : assurance === 'unaudited', assurance)
        assert.equal(swarm.bugs, [])
      })
  }),
)

test.run()
