import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsFromBytes } from '../../../../core/codec/bytes.ts'
import { openAs } from '../../../../core/identity/envelope.ts'
import { parseDigest } from '../../../../core/ids.ts'
import { invariant } from '../../../../core/invariant.ts'
import { commitSetStatement } from '../../../../core/job/judge-commits.ts'
import { type Execute, executeCodec, offerCodec, revealRequestCodec } from '../../../../core/job/proposal.ts'
import { answerCodec } from '../../../../core/log/assignment.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import {
  type Intent,
  NO_SAMPLING,
  PLAIN,
  payloadCodec,
  payloadCommitment,
  plainMessage,
} from '../../../../core/log/intent.ts'
import { commitmentCodec, revealCodec } from '../../../../core/verification/commitment.ts'
import { jobSeed } from '../../../../core/verification/gumbel.ts'
import { vectorsIn } from '../../../../core/verification/vectors.ts'
import type { SamplingSpec } from '../../../../models/backend.ts'
import { steer } from '../../../../node/jobs/frames.ts'
import { staticRosters } from '../../../../node/jobs/job-roster.ts'
import type { NodeModel } from '../../../../node/jobs/model.ts'
import { readReplica, type TokenPart } from '../../../../node/jobs/reader.ts'
import { hearing } from '../../../../node/jobs/sealed-stream.ts'
import { renderedMessages } from '../../../../node/jobs/words.ts'
import { WorkerRole } from '../../../../node/jobs/worker.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { codeOf } from '../../../support/error-code.ts'
import {
  FAKE_DIGEST,
  FAKE_DIMENSIONS,
  FAKE_LOAD,
  FakeBackend,
  type FakeOptions,
  hashVector,
} from '../../../support/fake-backend.ts'
import { FAKE_CHAT, FAKE_EMBEDDING, fakeModel, runnerOf } from '../../../support/fake-models.ts'
import { EDGE, expectAccepted, JobRun, OTHER_EDGE, secretOf } from '../../../support/job-run.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from '../../../support/memory-store.ts'
import { openedBy, sealedBy } from '../../../support/sealed.ts'
import { replicaInputs, SEED_NONCE, sharedSeeds } from '../../../support/seeds.ts'
import { within } from '../../../support/within.ts'

const NOTHING = new Uint8Array()
const NONCE = new Uint8Array(16).fill(3)
const MESSAGES = [plainMessage('user', 'hello')]
const WORDS = {
  ...PLAIN,
  ...{ salt: new Uint8Array(32), messages: MESSAGES, texts: [], logprobs: 0 },
}
const PAYLOAD = payloadCodec.encode(WORDS)
const promptTokens = await promptLength()

async function promptLength(): Promise<number> {
  const backend = new FakeBackend()
  await backend.load(FAKE_LOAD)
  return (await backend.tokenize(await backend.render(renderedMessages(WORDS)), true)).length
}

/** A job for the fake model, held; `run.assign()` gives it its worker. */
function jobRun(parts: Partial<Intent> = {}, payload = PAYLOAD): JobRun {
  const modelDigest = parseDigest(FAKE_DIGEST)
  invariant(modelDigest !== undefined, 'the fake model has a digest')
  const size = { replicas: 1, promptTokens, maxTokens: 200 }
  return new JobRun({ intent: { ...size, modelDigest, payloadCommitment: payloadCommitment(payload), ...parts } })
}

function assignedRun(parts: Partial<Intent> = {}, payload = PAYLOAD): JobRun {
  const run = jobRun(parts, payload)
  run.answerAll()
  run.assign()
  return run
}

type Bench = {
  readonly edge: PeerTransport
  /** Of an edge that does not drive the job. */
  readonly other: PeerTransport
  readonly disk: MemoryDisk
  readonly model: NodeModel
  readonly run: JobRun
  readonly worker: ReturnType<typeof secretOf>
}

/** The best-ranked worker of a job, on its own machine. */
async function benchOf(run: JobRun, options: Partial<FakeOptions> = {}, disk = createMemoryDisk()): Promise<Bench> {
  const worker = secretOf(run.job.draw.ranked[0])
  const network = createMemoryNetwork(
    {},
    { clock: systemClock, random: systemRandom, onBug: (error) => assert.unreachable(String(error)) },
  )
  const model = await fakeModel(run.first.intent.task === 'embedding' ? FAKE_EMBEDDING : FAKE_CHAT, options)
  const runner = runnerOf(model)
  const { state } = run.swarm
  const ports = { key: worker, transport: network.endpoint(worker.peer), store: createMemoryStore(disk) }
  const rosters = staticRosters(genesisRoster(state.genesis))
  new WorkerRole({ ...ports, clock: systemClock, random: systemRandom, state: () => state, runner, rosters })
  return { edge: network.endpoint(EDGE.peer), other: network.endpoint(OTHER_EDGE.peer), disk, model, run, worker }
}

async function offered({ edge, run, worker }: Bench, intent = run.job.intentEnvelope) {
  const bytes = await edge.request(worker.peer, 'job/offer', offerCodec.encode({ intent, attempt: 0 }), {
    deadlineMs: 2_500,
  })
  return expectAccepted(openAs(answerCodec, bytes, run.swarm.state.swarmId))
}

function orderOf(run: JobRun, parts: Partial<Execute> = {}, edge = EDGE) {
  invariant(run.job.phase === 'executing', 'the job has its certificate')
  const { intentEnvelope: intent, assignment, certificate } = run.job
  const body = executeCodec.encode({
    intent,
    assignment,
    ...certificate,
    replica: 0,
    inputs: replicaInputs(PAYLOAD),
    nonce: NONCE,
    prefixIds: new Uint8Array(),
    prefixText: '',
    ...parts,
  })
  const { swarmId } = run.swarm.state
  return sealedBy(edge, { swarmId, kind: 'job/execute', jobId: run.id, to: run.job.draw.ranked[0] ?? EDGE.peer }, body)
}

async function executed(
  { edge, run, worker }: Bench,
  parts: Partial<Execute> = {},
  onTokens: (count: number) => Uint8Array | undefined = () => undefined,
) {
  const { message, answerSecret } = orderOf(run, parts)
  const plain = await edge.openStream(worker.peer, 'job/execute', message, { deadlineMs: 3_000 })
  const stream = hearing(plain, answerSecret)
  const { swarmId } = run.swarm.state
  const place = { swarmId, jobId: run.id, attempt: 0, replica: 0 }
  const start = { ...place, worker: worker.peer, receiver: EDGE.peer, nonce: NONCE }
  let count = 0
  const streams = run.job.intent.task !== 'embedding'
  const tokenCountMax = streams ? run.job.intent.maxTokens : 0
  const ports = { key: EDGE, clock: systemClock, random: systemRandom, tokenCountMax, streams, details: true }
  const heard: TokenPart[] = []
  try {
    const read = await readReplica(stream, start, ports, (part) => {
      heard.push(part)
      count += part.ids.length
      const frame = onTokens(count)
      if (frame !== undefined) void stream.send(frame).catch(() => undefined)
    })
    return { ...read, heard }
  } finally {
    stream.end()
  }
}

async function revealed({ edge, run, worker }: Bench, commitments: readonly Uint8Array[], witnessed = commitments) {
  const witness = run.swarm.certificate(commitSetStatement(run.swarm.state, run.id, 0, witnessed))
  const body = revealRequestCodec.encode({ jobId: run.id, attempt: 0, replica: 0, commitments, ...witness })
  const answer = await edge.request(worker.peer, 'job/reveal', body, { deadlineMs: 1_000 })
  const { swarmId } = run.swarm.state
  const reveal = openedBy(EDGE, { swarmId, kind: 'job/reveal', from: worker.peer }, answer)
  return expectAccepted(revealCodec.decode(reveal))
}

test(
  'a held job is answered with a signed accept, and with busy when no slot is free',
  within(3_000, async () => {
    const bench = await benchOf(jobRun())
    const { value, signer } = await offered(bench)
    assert.is(signer, bench.worker.peer)
    assert.equal([value.jobId, value.answer, value.slotsFree], [bench.run.id, 'accept', 4])
    const full = await benchOf(jobRun(), { slotCount: 0 })
    assert.is((await offered(full)).value.answer, 'busy')
  }),
)

test(
  'an intent without a hold is no offer, whoever sends it',
  within(8_000, async () => {
    const bench = await benchOf(jobRun())
    assert.is(await codeOf(offered(bench, bench.run.swarm.intent({ nonce: 9n }))), 'CF_MESH_REFUSED')
    assert.is(await codeOf(offered(bench, NOTHING)), 'CF_MESH_REFUSED')
    const late = await benchOf(assignedRun())
    assert.is(await codeOf(offered(late)), 'CF_MESH_REFUSED', 'an assigned job is not offered')
  }),
)

test(
  'only the job’s edge is answered: another one gets no answer, no work and no reveal',
  within(8_000, async () => {
    const held = await benchOf(jobRun())
    assert.is(await codeOf(offered({ ...held, edge: held.other })), 'CF_MESH_REFUSED')
    assert.is((await offered(held)).value.answer, 'accept')
    const bench = await benchOf(assignedRun())
    const { message } = orderOf(bench.run, {}, OTHER_EDGE)
    const stream = await bench.other.openStream(bench.worker.peer, 'job/execute', message, { deadlineMs: 2_500 })
    assert.is(await codeOf(stream[Symbol.asyncIterator]().next()), 'CF_MESH_REFUSED')
    assert.is(bench.model.running + bench.disk.rows.size, 0, 'it has not worked')
    const { commitment } = await executed(bench)
    assert.is(await codeOf(revealed({ ...bench, edge: bench.other }, [commitment])), 'CF_MESH_REFUSED')
  }),
)

test(
  'an order with its certificate is run, committed to before it is answered, and revealed for its own commitment',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun())
    const read = await executed(bench)
    assert.is(read.finish, 'stop')
    const { value, signer } = expectAccepted(openAs(commitmentCodec, read.commitment, bench.run.swarm.state.swarmId))
    assert.is(signer, bench.worker.peer)
    assert.is(value.tokenCount, read.ids.length)
    assert.is(value.chainHead, read.chainHead)
    assert.is(
      value.schedule.reduce((sum, size) => sum + size, 0),
      promptTokens,
    )
    assert.is([...bench.disk.rows.keys()].filter((key) => key.startsWith('work/')).length, 1)
    const reveal = await revealed(bench, [read.commitment])
    assert.is(reveal.ids.length, 4 * read.ids.length)
    assert.is(bench.model.running, 0)
  }),
)

test(
  'the same order again, also after a restart, gets the same commitment and tokens: another would be equivocation',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun())
    const first = await executed(bench)
    const again = await executed(bench)
    assert.equal(again.commitment, first.commitment)
    assert.equal(again.ids, first.ids)
    const dishonest: Partial<FakeOptions> = { faultOf: () => ({ edit: (ids) => ids.slice(1) }) }
    const restarted = await benchOf(bench.run, dishonest, bench.disk)
    assert.equal((await executed(restarted)).commitment, first.commitment)
    assert.equal(await revealed(restarted, [first.commitment]), await revealed(bench, [first.commitment]))
  }),
)

test(
  'without a quorum, with other words, for another replica or job there is no work',
  within(4_000, async () => {
    const run = assignedRun()
    const bench = await benchOf(run)
    invariant(run.job.phase === 'executing', 'the job has its certificate')
    const { signatures } = run.job.certificate
    const words = payloadCodec.encode({ ...WORDS, messages: [plainMessage('user', 'buy this')] })
    const orders: readonly Partial<Execute>[] = [
      { bitmap: 3, signatures: signatures.subarray(64) },
      { bitmap: 0, signatures: NOTHING },
      { bitmap: 14 },
      { inputs: replicaInputs(words) },
      { inputs: replicaInputs(PAYLOAD, 0, sharedSeeds(1, words.subarray(0, 32))) },
      { inputs: NOTHING },
      { replica: 1 },
      { intent: run.swarm.intent({ nonce: 9n }) },
      { intent: NOTHING },
      { assignment: NOTHING },
    ]
    for (const parts of orders) assert.is(await codeOf(executed(bench, parts)), 'CF_MESH_REFUSED')
    assert.is([...bench.disk.rows.keys()].length, 0)
  }),
)

test(
  'nothing is revealed before there is a commitment, nor for a list that lacks it or that no quorum has witnessed',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun())
    assert.is(await codeOf(revealed(bench, [NOTHING])), 'CF_MESH_REFUSED')
    const { commitment } = await executed(bench)
    for (const list of [[], [NOTHING], [commitment.subarray(1)], [NOTHING, commitment]]) {
      assert.is(await codeOf(revealed(bench, list)), 'CF_MESH_REFUSED')
    }
    assert.is(await codeOf(revealed(bench, [commitment], [NOTHING])), 'CF_MESH_REFUSED', 'not witnessed')
    assert.is((await revealed(bench, [commitment])).replica, 0)
  }),
)

test(
  'told to stop, a worker commits to what there is',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun(), { faultOf: () => ({ stepMs: 5 }) })
    const read = await executed(bench, {}, (count) => (count === 3 ? steer({ kind: 'stop' }) : undefined))
    assert.is(read.finish, 'aborted')
    assert.ok(read.ids.length >= 3)
    assert.equal((await executed(bench)).commitment, read.commitment, 'and stays with it')
  }),
)

test(
  'a lost host fails the order with its code, commits to nothing, and the order can be given again',
  within(4_000, async () => {
    let times = 0
    const bench = await benchOf(assignedRun(), { faultOf: () => (times++ === 0 ? { failAt: 2 } : undefined) })
    assert.is(await codeOf(executed(bench)), 'CF_WORKER_HOST_LOST')
    assert.is([...bench.disk.rows.keys()].length, 0)
    assert.is((await executed(bench)).finish, 'stop')
  }),
)

test(
  'when the coordinator goes away in the middle, nothing is committed to and the slot is free again',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun(), { faultOf: () => ({ stepMs: 5 }) })
    const { message } = orderOf(bench.run)
    const stream = await bench.edge.openStream(bench.worker.peer, 'job/execute', message, { deadlineMs: 3_000 })
    for await (const frame of stream) if (frame.length > 0) break
    stream.destroy()
    while (bench.model.running > 0) await systemClock.sleep(10)
    await systemClock.sleep(50)
    assert.is([...bench.disk.rows.keys()].length, 0)
  }),
)

const TEXTS = ['one two', 'three']
const EMBEDDING_PAYLOAD = payloadCodec.encode({ ...WORDS, messages: [], texts: TEXTS })
const EMBEDDING: Partial<Intent> = {
  ...{ task: 'embedding', sampling: NO_SAMPLING, verify: 'before', promptTokens: 3, maxTokens: 2 },
}

test(
  'an embedding job streams nothing, commits to the bits of its vectors and reveals them',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun(EMBEDDING, EMBEDDING_PAYLOAD))
    const read = await executed(bench, { inputs: replicaInputs(EMBEDDING_PAYLOAD) })
    assert.equal([read.heard, read.ids, read.finish], [[], [], 'stop'])
    const { value } = expectAccepted(openAs(commitmentCodec, read.commitment, bench.run.swarm.state.swarmId))
    assert.equal([value.tokenCount, value.chunkCount, value.schedule], [2 * FAKE_DIMENSIONS, 0, []])
    const { ids, text } = await revealed(bench, [read.commitment])
    assert.is(text, '')
    assert.equal(vectorsIn(idsFromBytes(ids) ?? new Uint32Array(), 2), TEXTS.map(hashVector))
    const again = await executed(bench, { inputs: replicaInputs(EMBEDDING_PAYLOAD) })
    assert.equal([again.heard, again.commitment], [[], read.commitment], 'and so it does when asked again')
  }),
)

test(
  'texts that are not as many tokens as were paid for are not embedded',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun({ ...EMBEDDING, promptTokens: 4 }, EMBEDDING_PAYLOAD))
    assert.is(await codeOf(executed(bench, { inputs: replicaInputs(EMBEDDING_PAYLOAD) })), 'CF_JOB_INVALID')
    assert.is([...bench.disk.rows.keys()].length, 0)
  }),
)

test(
  'words of another task than the signed one are no work',
  within(4_000, async () => {
    const bench = await benchOf(assignedRun({ task: 'completion' }))
    assert.is(await codeOf(executed(bench)), 'CF_MESH_REFUSED')
  }),
)

test(
  'a completion gets its text as it is, and ends with a stop string of the intent',
  within(4_000, async () => {
    const text = 'Hello <|im_end|>'
    const payload = payloadCodec.encode({ ...WORDS, messages: [], texts: [text], logprobs: 3 })
    const sampling = { ...NO_SAMPLING, topK: 40 }
    const parts = { task: 'completion', promptTokens: text.length, sampling } as const
    const whole = await executed(await benchOf(assignedRun(parts, payload)), { inputs: replicaInputs(payload) })
    const words = whole.heard.map((part) => part.text).join('')
    const stop = [words.slice(4, 7)]
    const ended = await executed(await benchOf(assignedRun({ ...parts, stop }, payload)), {
      inputs: replicaInputs(payload),
    })
    assert.equal(
      [ended.finish, ended.heard.map((part) => part.text).join('')],
      ['stop', words.slice(0, words.indexOf(stop[0] ?? '') + 3)],
    )
    const shown = ended.heard.flatMap(({ details = [] }) => details)
    const shownIds = shown.map(({ id }) => id)
    assert.equal(shownIds, ended.ids)
    assert.ok(shown.every(({ top, logprob }) => top.length === 2 && logprob === -0.1))
  }),
)

test(
  'a sampler that nobody can replay runs with the first four bytes of the job’s seed and the rules of the intent',
  within(4_000, async () => {
    const asked: SamplingSpec[] = []
    const rules = { topPMilli: 950, frequencyPenaltyMilli: -500, presencePenaltyMilli: 1_500 }
    const run = assignedRun({ sampling: { kind: 'llama', temperatureMilli: 700, topK: 40, ...rules } })
    const bench = await benchOf(run, { faultOf: ({ sampling }) => void asked.push(sampling) })
    assert.is((await executed(bench)).finish, 'stop')
    const seed = Buffer.from(jobSeed(run.id, SEED_NONCE)).readUInt32BE(0)
    assert.equal(asked, [
      {
        ...{ kind: 'llama', temperature: 0.7, topK: 40, topP: 0.95, minP: 0 },
        ...{ frequencyPenalty: -0.5, presencePenalty: 1.5, seed },
      },
    ])
  }),
)

test.run()
