/** Jobs whose replicas have seeds of their own, over every role of a swarm in one process: what is audited, who is found, who goes on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { equalBytes } from '../../core/codec/bytes.ts'
import { type Digest, type JobId, nodeAccount, type PeerId } from '../../core/ids.ts'
import type { SettledJob } from '../../core/job/job.ts'
import { NO_SAMPLING } from '../../core/log/intent.ts'
import { revealCodec } from '../../core/verification/commitment.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import type { GenerateRequest } from '../../models/backend.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend, type Fault } from '../support/fake-backend.ts'
import { FAKE_CHAT } from '../support/fake-models.ts'
import { expectAccepted } from '../support/job-run.ts'
import { heardBy, JobSwarm, type JobSwarmOptions } from '../support/job-swarm.ts'
import { missing } from '../support/missing.ts'
import { sharedSeeds, splitSeeds } from '../support/seeds.ts'
import { within } from '../support/within.ts'

const REPLICAS = 3
const SPLIT = splitSeeds(REPLICAS)
const READ_CHARACTERS = 8
const JOBS_MAX = 30
/** The fake engines differ by nothing at all. */
const ROW = {
  ...{ prover: ANY_CLASS, verifier: ANY_CLASS, honestAudits: 150, honestTokens: 1 },
  ...{ suspectMicro: [1, 1, 1, 1], failMicro: [2, 2, 2, 2], worstMicro: 1 },
}
const TABLE: PolicyTable = {
  model: FAKE_DIGEST as Digest,
  engine: 'fake',
  rows: [0, 1, 2].map((temperature) => ({ ...ROW, temperature })),
}

type Said = { readonly promptIds: Uint32Array; readonly seed: Uint8Array; readonly ids: readonly number[] }

/** Engines of which one hands in, as its own, what another said last to the same prompt: as if an edge let it hear. */
class Copying {
  copied = 0
  #said: readonly Said[] = []

  /** What was said in another job is no peer's output in the next. */
  forget(): void {
    this.#said = []
  }

  async model(isCopier: boolean): Promise<NodeModel> {
    const faultOf = (request: GenerateRequest): Fault => ({
      edit: (ids) => (isCopier ? this.#copy(request, ids) : this.#say(request, ids)),
    })
    const model = new NodeModel(FAKE_CHAT, new FakeBackend({ faultOf }), 16)
    await model.load(FAKE_LOAD)
    return model
  }

  #say({ promptIds, seed }: GenerateRequest, ids: readonly number[]): readonly number[] {
    this.#said = [...this.#said, { promptIds, seed, ids }]
    return ids
  }

  #copy({ promptIds, seed }: GenerateRequest, own: readonly number[]): readonly number[] {
    const heard = this.#said.findLast((one) => one.promptIds.join() === promptIds.join())
    // Under its own seed there is nothing to copy.
    if (heard === undefined || equalBytes(heard.seed, seed)) return own
    this.copied += 1
    return heard.ids
  }
}

async function withJobSwarm(options: JobSwarmOptions, work: (swarm: JobSwarm) => Promise<void>): Promise<void> {
  const swarm = await JobSwarm.start({ table: TABLE, ...options })
  try {
    await work(swarm)
    assert.equal(swarm.bugs, [])
  } finally {
    swarm.stop()
  }
}

async function settled(swarm: JobSwarm, parts: Parameters<JobSwarm['submit']>[0], seeds = SPLIT) {
  const { id, feed } = await swarm.submit({ replicas: REPLICAS, ...parts }, seeds)
  const heard = await heardBy(feed.listen(AbortSignal.timeout(10_000)))
  return { ...heard, job: settledJob(swarm, id), findings: swarm.log.job(id).findings }
}

function settledJob(swarm: JobSwarm, id: JobId): SettledJob {
  const job = swarm.coordinator.job(id)
  if (job?.phase !== 'settled') throw new Error(`the job is ${job?.phase}`)
  return job
}

function textsOf({ replicas }: SettledJob): readonly string[] {
  return replicas.map((replica) =>
    replica.state === 'revealed' ? expectAccepted(revealCodec.decode(replica.reveal)).text : '',
  )
}

test(
  'honest replicas with seeds of their own say different things: all are audited, and the job is verified',
  within(12_000, () =>
    withJobSwarm({}, async (swarm) => {
      const { outcome, job, findings } = await settled(swarm, {})
      assert.equal([outcome.reason, outcome.assurance, outcome.outcome], ['paid', 'audited', 'verified'])
      assert.is(new Set(textsOf(job)).size, REPLICAS)
      assert.equal(
        job.audits.map(({ first }) => first),
        [0, 1, 2],
      )
      assert.equal(
        findings.map(({ verdict, agree }) => [verdict, agree]),
        Array(REPLICAS).fill(['pass', 1]),
      )
    }),
  ),
)

test(
  'at temperature 0 seeds change nothing: outputs are equal, one audit covers them',
  within(12_000, () =>
    withJobSwarm({ engine: { answerOf: () => 'the same' } }, async (swarm) => {
      const sampling = { ...NO_SAMPLING, topK: 40 }
      const { job, findings } = await settled(swarm, { sampling })
      assert.equal(
        job.audits.map(({ first }) => first),
        [0],
      )
      assert.ok(findings.every(({ agree }) => agree === REPLICAS))
    }),
  ),
)

test(
  'equal outputs from different seeds are no agreement',
  within(12_000, () =>
    withJobSwarm({ engine: { answerOf: () => 'the same' } }, async (swarm) => {
      const { job, findings } = await settled(swarm, {})
      assert.is(new Set(textsOf(job)).size, 1)
      assert.is(job.audits.length, REPLICAS)
      assert.ok(findings.every(({ agree }) => agree === 1))
    }),
  ),
)

for (const verify of ['after', 'before'] as const)
  test(
    `whoever copies a peer fails its audit and is not paid, the peer passes (${verify})`,
    within(30_000, async () => {
      const copying = new Copying()
      const copier: { peer?: PeerId } = {}
      const model = (peer: PeerId): Promise<NodeModel> => {
        copier.peer ??= peer
        return copying.model(peer === copier.peer)
      }
      await withJobSwarm({ model }, async (swarm) => {
        const peer = copier.peer ?? missing()
        for (let nonce = 1n; copying.copied === 0; nonce += 1n) {
          assert.ok(nonce <= JOBS_MAX, 'the copier worked and heard somebody')
          copying.forget()
          const earned = swarm.log.balance(nodeAccount(peer))
          const { job, findings, outcome, text } = await settled(swarm, { verify, nonce })
          if (copying.copied === 0) continue
          for (const { worker, verdict, reason } of findings)
            assert.equal([verdict, reason], worker === peer ? ['fail', 'audit_failed'] : ['pass', 'none'])
          const place = findings.findIndex(({ worker }) => worker === peer)
          const texts = textsOf(job)
          assert.ok(
            texts.some((one, replica) => replica !== place && one === texts[place]),
            'it is a copy',
          )
          assert.is(swarm.log.balance(nodeAccount(peer)), earned)
          if (verify === 'before') assert.is(outcome.reason, 'paid')
          if (outcome.reason === 'paid') assert.is(text, texts[job.chosen ?? REPLICAS])
        }
      })
    }),
  )

test(
  'under one seed the same copy is what an honest peer would have said, and nobody can tell',
  within(12_000, async () => {
    const copying = new Copying()
    let engines = 0
    await withJobSwarm({ model: () => copying.model(engines++ === 0) }, async (swarm) => {
      const { findings } = await settled(swarm, {}, sharedSeeds(REPLICAS))
      assert.ok(findings.every(({ verdict, agree }) => verdict === 'pass' && agree === REPLICAS))
      assert.is(copying.copied, 0)
    })
  }),
)

test(
  'when the worker that is read dies, only one with its seed goes on',
  within(15_000, () =>
    withJobSwarm({ engine: { faultOf: () => ({ stepMs: 5 }) }, policy: { attemptsMax: 3 } }, async (swarm) => {
      const { id, feed } = await swarm.submit({ replicas: REPLICAS }, SPLIT)
      let read: number | undefined
      const { text, outcome } = await heardBy(feed.listen(AbortSignal.timeout(12_000)), (so) => {
        const job = swarm.coordinator.job(id)
        if (read !== undefined || so.length < READ_CHARACTERS || job?.phase !== 'executing') return
        read = job.streamed ?? undefined
        if (read !== undefined) void swarm.kill(job.replicas[read]?.worker ?? missing())
      })
      assert.equal([outcome.reason, outcome.assurance], ['paid', 'audited'])
      const job = settledJob(swarm, id)
      assert.equal([job.attempt, job.chosen], [1, read])
      assert.is(text, textsOf(job)[read ?? REPLICAS])
      assert.ok(swarm.log.job(id).findings.every(({ verdict }) => verdict === 'pass'))
    }),
  ),
)

test.run()
