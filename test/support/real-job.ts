/** One job of a real model through the real core: its output comes from a GGUF file, and so do the reports of its auditors. */

import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { ClassAudit, SettledJob } from '../../core/job/job.ts'
import type { Bench } from '../../core/job/judge.ts'
import { type AuditTask, auditPlanOf } from '../../core/job/judge-audits.ts'
import { outputOf, receiptOf } from '../../core/job/receipting.ts'
import { NOTHING_SHOWN } from '../../core/latency/links.ts'
import { bodyDigest } from '../../core/log/assignment.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import type { Seed } from '../../core/log/inputs.ts'
import { NEUTRAL, type Payload, PLAIN, payloadCodec, payloadCommitment } from '../../core/log/intent.ts'
import { intentOf } from '../../core/log/settling.ts'
import { epochPartOf } from '../../core/receipt/epoch.ts'
import { receiptFileCodec } from '../../core/receipt/receipt.ts'
import { type AuditReport, auditCodec, probePositions, probesOf, statisticsOf } from '../../core/verification/audit.ts'
import { commitmentCodec, textDigest } from '../../core/verification/commitment.ts'
import { ANY_CLASS, type PolicyTable, policyIdOf, policyTableCodec } from '../../core/verification/policy-table.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { claimOf } from '../../node/jobs/claim.ts'
import { requestOf } from '../../node/jobs/compute.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import { replayOf } from '../../node/jobs/replay.ts'
import { createHost, TINY_LOAD } from './host.ts'
import { EDGE, JobRun, secretOf } from './job-run.ts'
import { ALICE } from './log-swarm.ts'
import { missing } from './missing.ts'
import { sharedSeeds } from './seeds.ts'

/** Thresholds that honest runs on one machine are far below. */
export const REAL_TABLE: PolicyTable = {
  model: CFAB_TINY.digest as PolicyTable['model'],
  engine: 'test',
  rows: [
    {
      ...{ prover: ANY_CLASS, verifier: ANY_CLASS, temperature: 2, honestAudits: 3_000, honestTokens: 300_000 },
      ...{ suspectMicro: [20_000, 20_000, 20_000, 20_000], failMicro: [50_000, 50_000, 50_000, 50_000] },
      worstMicro: 1_000_000,
    },
  ],
}
export const REAL_POLICY_ID = policyIdOf(policyTableCodec.encode(REAL_TABLE))

const NEVER = new AbortController().signal
const PAYLOAD: Payload = {
  ...PLAIN,
  ...{ salt: new Uint8Array(32).fill(3), messages: [], logprobs: 0 },
  texts: ['Once upon a time there was a little girl who'],
}
export const REAL_PAYLOAD = payloadCodec.encode(PAYLOAD)

/** A model in a compute host of its own. @param digest  of the file at `path` */
export async function loadedModel(path = CFAB_TINY.path, digest = CFAB_TINY.digest): Promise<NodeModel> {
  const model = new NodeModel({ ...CFAB_TINY, path, digest }, createHost().backend, 4)
  await model.load({ ...TINY_LOAD, path, digest })
  return model
}

/** A job for the bundled model, audited under REAL_TABLE. */
export class RealRun extends JobRun {
  readonly #model: NodeModel

  private constructor(model: NodeModel, promptTokens: number, replicas: number, seeds: readonly Seed[]) {
    super({
      seeds,
      policy: REAL_TABLE,
      intent: {
        ...{ task: 'completion', modelDigest: REAL_TABLE.model, promptTokens, replicas, maxTokens: 96 },
        payloadCommitment: payloadCommitment(REAL_PAYLOAD),
        sampling: { kind: 'gumbel-v1', temperatureMilli: 900, topK: 40, ...NEUTRAL },
      },
    })
    this.#model = model
  }

  /** @param model  what the intent names: judges and auditors have it */
  static async start(model: NodeModel, replicas = 1, seeds = sharedSeeds(replicas)): Promise<RealRun> {
    const { length } = await model.promptIds('completion', PAYLOAD)
    return new RealRun(model, length, replicas, seeds)
  }

  override bench(self?: PeerId): Bench {
    return { ...super.bench(self), facts: (digest) => (digest === REAL_TABLE.model ? this.#model.facts : undefined) }
  }

  workOf(replica: number) {
    return {
      jobId: this.id,
      user: ALICE.peer,
      intent: this.first.intent,
      inputs: { payload: PAYLOAD, seedNonce: (this.seeds[replica] ?? missing()).nonce },
    }
  }

  /** Assigned; each replica's output computed by a model, the right one or not; witnessed and revealed. */
  async compute(models: readonly NodeModel[]): Promise<void> {
    this.answerAll()
    this.assign()
    this.deliver(0)
    for (const [replica, model] of models.entries()) {
      const request = await requestOf(model, 'completion', this.workOf(replica))
      const [ids, texts]: [number[], string[]] = [[], []]
      let finish: 'stop' | 'length' | 'aborted' = 'aborted'
      for await (const batch of model.generate(request, NEVER)) {
        ids.push(...batch.ids)
        texts.push(batch.text)
        finish = batch.finish ?? finish
      }
      const output = { ids, text: texts.join(''), finish }
      this.hand(replica, output, model.schedule(request.promptIds.length))
    }
    for (const replica of models.keys()) this.reveal(replica)
  }

  /** A replica commits to an output, whoever computed it. */
  hand(replica: number, output: Parameters<typeof claimOf>[0]['output'], schedule: readonly number[]): void {
    const { swarmId } = this.swarm.state
    const claim = claimOf({
      ...{
        key: secretOf(this.workers[replica]),
        swarmId,
        chain: { head: REAL_TABLE.model, count: 1, shown: NOTHING_SHOWN },
      },
      order: {
        jobId: this.id,
        assignment: { attempt: this.job.attempt },
        assignmentHash: bodyDigest('assignment', swarmId, this.assignment),
        replica,
      },
      ...{ output, salt: new Uint8Array(32).fill(replica + 1), schedule, engineId: this.#model.now().engineId },
    })
    this.claims.set(replica, claim)
    this.tell({ type: 'committed', replica, commitment: claim.commitment })
  }

  get tasks(): readonly AuditTask[] {
    return this.#plan().tasks
  }

  #plan() {
    const { commitments, bitmap, signatures } = this.findingProposal
    const witnessed = { job: this.swarm.job(this.id), attempt: 0, commitments, certificate: { bitmap, signatures } }
    const names = [...this.claims.values()].map(({ ids, text }) => `${ids.join()}/${text}`)
    return auditPlanOf(this.swarm.state, this.roster, witnessed, names)
  }

  /** What an honest auditor of the first output of a class signs, changed as a dishonest one would. */
  async report(task: AuditTask, auditor: PeerId, change: Partial<AuditReport> = {}): Promise<Uint8Array> {
    const [first = 0] = task.members
    const claim = this.claims.get(first) ?? missing()
    const { commitment, hash } = this.#committed(first)
    const ids = Uint32Array.from(claim.ids)
    const positions = await replayOf(this.#model, this.workOf(first), { ids, schedule: commitment.schedule }, NEVER)
    const { beacon } = this.#plan()
    const statistics = statisticsOf(positions, ids)
    const value: AuditReport = {
      ...{ jobId: this.id, attempt: 0, replica: first, worker: this.workers[first] ?? missing() },
      ...{ commitmentHash: hash, policyId: REAL_POLICY_ID, engineId: this.#model.now().engineId, ...statistics },
      probes: probesOf(positions, probePositions(beacon, first, positions.length), ids),
      ...{ verdict: statistics.worstMicro > 1_000_000 ? 'fail' : 'pass', replayMs: 5 },
      textDigest: textDigest(claim.text),
      ...{ salt: new Uint8Array(32).fill(first), others: [] },
      ...change,
    }
    return sealAs(auditCodec, value, this.swarm.state.swarmId, secretOf(auditor))
  }

  #committed(replica: number) {
    const envelope = this.findingProposal.commitments[replica] ?? missing()
    const { swarmId } = this.swarm.state
    const opened = openedCommitment(envelope, swarmId)
    return { commitment: opened.value, hash: commitmentCodec.digest(swarmId, opened.body) }
  }

  /** Audited as given, found, logged and settled; with the receipt as its edge would seal it. */
  conclude(audits: readonly ClassAudit[]): { readonly job: SettledJob; readonly receipt: Uint8Array } {
    this.tell({ type: 'audited', audits })
    this.find()
    this.settle()
    const { job } = this
    invariant(job.phase === 'settled', `the job has settled, and is not ${job.phase}`)
    const { genesis, swarmId } = this.swarm.state
    const logged = this.swarm.job(this.id)
    const epoch = epochPartOf(epochOfJob(this.swarm.state, logged), this.roster, [EDGE.peer, ...logged.workers])
    const parts = { receipt: receiptOf(job, genesis.bytes, epoch), output: outputOf(job) }
    invariant(intentOf(logged).replicas === logged.workers.length, 'every replica has a worker')
    return { job, receipt: sealAs(receiptFileCodec, parts, swarmId, EDGE) }
  }
}

function openedCommitment(envelope: Uint8Array, swarmId: JobRun['swarm']['state']['swarmId']) {
  const opened = openAs(commitmentCodec, envelope, swarmId)
  invariant(opened.action === 'accept', 'a commitment of a test opens')
  return opened.value
}
