import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { openAs } from '../../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import { type PeerId, parseDigest } from '../../../../core/ids.ts'
import { invariant } from '../../../../core/invariant.ts'
import { type AuditAsk, auditAskCodec, auditShowCodec, judgeAuditAsk } from '../../../../core/job/audit-messages.ts'
import { planAudits } from '../../../../core/job/judge.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { PLAIN, payloadCodec, payloadCommitment, plainMessage } from '../../../../core/log/intent.ts'
import { auditCodec, auditCommit, auditCommitCodec } from '../../../../core/verification/audit.ts'
import { isReportOf } from '../../../../core/verification/report.ts'
import { AuditorRole } from '../../../../node/jobs/auditor.ts'
import { staticRosters } from '../../../../node/jobs/job-roster.ts'
import type { ModelRunner } from '../../../../node/jobs/runner.ts'
import { renderedMessages } from '../../../../node/jobs/words.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { failureOf } from '../../../support/error-code.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend } from '../../../support/fake-backend.ts'
import { FAKE_CHAT, fakeModel, runnerOf } from '../../../support/fake-models.ts'
import { EDGE, expectAccepted, JobRun, OTHER_EDGE, OUTPUT, secretOf } from '../../../support/job-run.ts'
import { createMemoryDisk, createMemoryStore } from '../../../support/memory-store.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed } from '../../../support/people.ts'
import { openedBy, sealedBy } from '../../../support/sealed.ts'
import { replicaInputs } from '../../../support/seeds.ts'
import { within } from '../../../support/within.ts'

const LIMIT_MS = 5_000
const REFUSED = 'CF_MESH_REFUSED CF_MESH_REFUSED'
const PAYLOAD = {
  ...PLAIN,
  ...{ salt: new Uint8Array(32), texts: [], logprobs: 0 },
  messages: [plainMessage('user', 'hello')],
}
const WORDS = payloadCodec.encode(PAYLOAD)
const NO_MODEL: ModelRunner = {
  ...{ find: () => undefined, facts: () => undefined },
  use: () => Promise.reject(new Error('nobody should ask')),
  useNamed: () => Promise.reject(new Error('nobody should ask')),
}

async function promptTokens(): Promise<number> {
  const backend = new FakeBackend()
  await backend.load(FAKE_LOAD)
  return (await backend.tokenize(await backend.render(renderedMessages(PAYLOAD)), true)).length
}

/** A job with one revealed output, what its edge asks of auditors, and who they are. */
async function drawn() {
  const modelDigest = parseDigest(FAKE_DIGEST)
  invariant(modelDigest !== undefined, 'the fake model has a digest')
  const size = { replicas: 1, promptTokens: await promptTokens(), maxTokens: 200 }
  const run = new JobRun({ intent: { ...size, modelDigest, payloadCommitment: payloadCommitment(WORDS) } })
  run.execute([OUTPUT])
  const { commitments, bitmap, signatures, reveals } = run.findingProposal
  const plan = expectAccepted(planAudits(run.bench(), run.findingProposal)) ?? missing('a plan')
  const place = { jobId: run.id, attempt: 0, replica: 0 }
  const [reveal = new Uint8Array()] = reveals
  const ask: AuditAsk = { ...place, commitments, bitmap, signatures, inputs: replicaInputs(WORDS), reveal }
  return { run, ask, place, plan, auditors: plan.tasks[0]?.auditors ?? [] }
}

async function saidOf(work: Promise<unknown>): Promise<string> {
  const { code, detail } = await failureOf(work)
  return `${code} ${detail['code'] ?? ''}`
}

type Drawn = Awaited<ReturnType<typeof drawn>>

/** One peer as an auditor, and two edges that can ask it. */
async function benchOf({ run }: Drawn, peer: PeerId | undefined, disk = createMemoryDisk(), runner?: ModelRunner) {
  const key = secretOf(peer)
  const onBug = (error: unknown): void => assert.unreachable(String(error))
  const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom, onBug })
  const { state } = run.swarm
  new AuditorRole({
    ...{ key, transport: network.endpoint(key.peer), store: createMemoryStore(disk) },
    clock: { ...systemClock, nowMs: () => run.nowMs },
    ...{ random: systemRandom, state: () => state, rosters: staticRosters(genesisRoster(state.genesis)) },
    runner: runner ?? runnerOf(await fakeModel(FAKE_CHAT)),
  })
  const from = (edge: PeerTransport, edgeKey: KeyPair) => async (type: string, body: Uint8Array) => {
    const about = { swarmId: state.swarmId, kind: type, jobId: run.id, to: key.peer }
    const message = type === 'audit/ask' ? sealedBy(edgeKey, about, body).message : body
    const answer = await edge.request(key.peer, type, message, { deadlineMs: 3_000 })
    const isSealed = type === 'audit/show'
    return isSealed ? openedBy(edgeKey, { swarmId: state.swarmId, kind: type, from: key.peer }, answer) : answer
  }
  return {
    ask: from(network.endpoint(EDGE.peer), EDGE),
    askOfOther: from(network.endpoint(OTHER_EDGE.peer), OTHER_EDGE),
    disk,
  }
}

test(
  'who was drawn commits to its report before it shows it, and the report fits the output',
  within(LIMIT_MS, async () => {
    const about = await drawn()
    const { ask, disk } = await benchOf(about, about.auditors[0])
    const { swarmId } = about.run.swarm.state
    const committed = expectAccepted(
      openAs(auditCommitCodec, await ask('audit/ask', auditAskCodec.encode(about.ask)), swarmId),
    )
    assert.is(committed.signer, about.auditors[0])
    assert.is([...disk.rows.keys()].filter((key) => key.includes('audit/')).length, 1, 'it is on disk by now')
    const others = [digestNamed('what another is bound to')]
    const shown = await ask('audit/show', auditShowCodec.encode({ ...about.place, others }))
    const report = expectAccepted(openAs(auditCodec, shown, swarmId))
    assert.is(report.signer, about.auditors[0])
    assert.is(committed.value.commit, auditCommit(swarmId, report.value))
    assert.equal(report.value.others, others)
    const { positions, probes, verdict, worker } = report.value
    assert.equal(
      [positions, probes.length, verdict, worker],
      [OUTPUT.length, OUTPUT.length, 'abstain', about.run.workers[0]],
    )
    assert.ok(isReportOf({ ...report.value, verdict: 'pass' }, OUTPUT.length, about.plan.beacon))
  }),
)

test(
  'asked again, also after a restart and without its model, it says the very same',
  within(LIMIT_MS, async () => {
    const about = await drawn()
    const first = await benchOf(about, about.auditors[0])
    const body = auditAskCodec.encode(about.ask)
    const committed = await first.ask('audit/ask', body)
    assert.equal(await first.ask('audit/ask', body), committed)
    const shown = await first.ask('audit/show', auditShowCodec.encode({ ...about.place, others: [] }))
    const restarted = await benchOf(about, about.auditors[0], first.disk, NO_MODEL)
    assert.equal(await restarted.ask('audit/ask', body), committed)
    assert.equal(await restarted.ask('audit/wait', auditShowCodec.encode({ ...about.place, others: [] })), committed)
    const later = { ...about.place, others: [digestNamed('what another is bound to')] }
    assert.equal(await restarted.ask('audit/show', auditShowCodec.encode(later)), shown)
  }),
)

test(
  'it audits for the edge of the job alone, what it was drawn for, what was witnessed, and what was committed to',
  within(LIMIT_MS, async () => {
    const about = await drawn()
    const { ask, askOfOther, disk } = await benchOf(about, about.auditors[0])
    const { run, auditors } = about
    const judged = (parts: Partial<AuditAsk>, self = auditors[0]) => {
      const bench = { state: run.swarm.state, roster: run.roster, self: self ?? missing('a peer') }
      const verdict = judgeAuditAsk(bench, run.swarm.job(run.id), { ...about.ask, ...parts })
      return verdict.action === 'accept' ? 'accept' : `${verdict.action} ${verdict.reason}`
    }
    const other = payloadCodec.encode({ ...PAYLOAD, salt: new Uint8Array(32).fill(9) })
    assert.equal(
      auditors.map((auditor) => judged({}, auditor)),
      auditors.map(() => 'accept'),
    )
    assert.is(judged({}, run.workers[0]), 'ignore not_for_us')
    assert.is(judged({}, EDGE.peer), 'ignore not_for_us')
    assert.is(judged({ bitmap: 0, signatures: new Uint8Array() }), 'reject certificate_without_quorum')
    assert.is(judged({ replica: 1 }), 'reject proposal_mismatch')
    assert.is(judged({ attempt: 1 }), 'ignore stale')
    assert.is(judged({ commitments: [new Uint8Array()] }), 'reject signature_invalid')
    assert.is(judged({ inputs: replicaInputs(other) }), 'reject commitment_mismatch')
    assert.is(judged({ reveal: run.claim(0, [10, 11, 0]).reveal }), 'reject commitment_mismatch')
    assert.is(await saidOf(askOfOther('audit/ask', auditAskCodec.encode(about.ask))), REFUSED)
    assert.is(await saidOf(ask('audit/ask', auditAskCodec.encode({ ...about.ask, bitmap: 0 }))), REFUSED)
    assert.is(disk.rows.size, 0)
    assert.is(await saidOf(ask('audit/show', auditShowCodec.encode({ ...about.place, others: [] }))), REFUSED)
    assert.is(await saidOf(ask('audit/wait', auditShowCodec.encode({ ...about.place, others: [] }))), REFUSED)
  }),
)

test(
  'without the model it refuses at once, and one that takes its time says that it is at work',
  within(LIMIT_MS, async () => {
    const about = await drawn()
    const body = auditAskCodec.encode(about.ask)
    const none = await benchOf(about, about.auditors[0], createMemoryDisk(), {
      ...NO_MODEL,
      use: () => Promise.reject(new FabricError('CF_MODEL_UNKNOWN')),
    })
    assert.is(await saidOf(none.ask('audit/ask', body)), 'CF_MESH_REFUSED CF_MODEL_UNKNOWN')
    const quick = runnerOf(await fakeModel(FAKE_CHAT))
    const slow = await benchOf(about, about.auditors[1], createMemoryDisk(), {
      ...quick,
      use: async (digest, signal, work) => {
        await systemClock.sleep(900)
        return quick.use(digest, signal, work)
      },
    })
    assert.is((await slow.ask('audit/ask', body)).length, 0)
    const again = auditShowCodec.encode({ ...about.place, others: [] })
    let answer = await slow.ask('audit/wait', again)
    while (answer.length === 0) answer = await slow.ask('audit/wait', again)
    assert.equal(answer, await slow.ask('audit/ask', body))
  }),
)

test.run()
