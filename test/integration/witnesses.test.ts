/** Validators watch streams whose tokens they never see, and a receipt says what they saw. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { chunkCodec } from '../../core/latency/chain.ts'
import { type Timeline, timelineCodec } from '../../core/latency/timeline.ts'
import { witnessesFor } from '../../core/log/witnesses.ts'
import { type Delivery, deliveryCodec, receiptCodec, receiptFileCodec } from '../../core/receipt/receipt.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { EDGE, expectAccepted, secretOf } from '../support/job-run.ts'
import { heardBy, JobSwarm, type JobSwarmOptions } from '../support/job-swarm.ts'
import { lookedAt } from '../support/looked-at.ts'
import { missing } from '../support/missing.ts'
import { digestNamed } from '../support/people.ts'
import { within } from '../support/within.ts'

async function settled(options: JobSwarmOptions = {}, parts: Parameters<JobSwarm['submit']>[0] = {}) {
  const swarm = await JobSwarm.start(options)
  try {
    const { id, feed } = await swarm.submit({ maxTokens: 100, ...parts })
    await heardBy(feed.listen(AbortSignal.timeout(10_000)))
    assert.equal(swarm.bugs, [])
    const file = swarm.store.receipt(id) ?? missing('a receipt')
    return { swarm, id, file, swarmId: swarm.log.state.swarmId }
  } finally {
    swarm.stop()
  }
}

const verdictOf = ({ file, swarmId }: Pick<Awaited<ReturnType<typeof settled>>, 'file' | 'swarmId'>) =>
  verifyReceiptFile(file, { roots: new Set([swarmId]) })

/** The receipt with another delivery, sealed by the same edge. */
function redelivered(run: Awaited<ReturnType<typeof settled>>, change: (delivery: Delivery) => Delivery): Uint8Array {
  const { swarmId } = run
  const { value } = expectAccepted(openAs(receiptFileCodec, run.file, swarmId))
  const receipt = expectAccepted(receiptCodec.decode(value.receipt))
  const delivery = expectAccepted(openAs(deliveryCodec, receipt.execution.delivery, swarmId)).value
  const execution = { ...receipt.execution, delivery: sealAs(deliveryCodec, change(delivery), swarmId, EDGE) }
  return sealAs(receiptFileCodec, { ...value, receipt: receiptCodec.encode({ ...receipt, execution }) }, swarmId, EDGE)
}

test(
  'three validators sign what they saw of a stream, and its receipt states their median',
  within(15_000, async () => {
    const run = await settled()
    const verdict = verdictOf(run)
    if (verdict.status !== 'valid') throw new Error(JSON.stringify(verdict))
    const { latency, delivery } = verdict.facts
    assert.is(latency?.witnesses, 3)
    assert.ok(latency?.isWitnessed)
    assert.is(latency?.tokens, delivery?.segments[0]?.tokenCount)
    const timelines = (delivery?.witnesses ?? []).map((envelope) =>
      expectAccepted(openAs(timelineCodec, envelope, run.swarmId)),
    )
    const seen = timelines.map(({ value }) => value.ttftMs).sort((a, b) => a - b)
    assert.is(latency?.ttftMs, seen[1])
    const validators = run.swarm.log.validators.map(({ peer }) => peer)
    assert.ok(timelines.every(({ signer }) => validators.includes(signer)))
    assert.is(new Set(timelines.map(({ signer }) => signer)).size, 3)
  }),
)

test(
  'timelines of another stream, of strangers, twice, or changed by the edge make no valid receipt',
  within(15_000, async () => {
    const run = await settled()
    const { swarmId } = run
    const { value: file } = expectAccepted(openAs(receiptFileCodec, run.file, swarmId))
    const receipt = expectAccepted(receiptCodec.decode(file.receipt))
    const { value: own } = expectAccepted(openAs(deliveryCodec, receipt.execution.delivery, swarmId))
    const opened = expectAccepted(openAs(timelineCodec, own.witnesses[0] ?? missing('a timeline'), swarmId))
    const said = (witnesses: readonly Uint8Array[]) => {
      const verdict = verdictOf({ ...run, file: redelivered(run, (delivery) => ({ ...delivery, witnesses })) })
      return verdict.status
    }
    const forged = (parts: Partial<Timeline>, signer = secretOf(opened.signer)) =>
      sealAs(timelineCodec, { ...opened.value, ...parts }, swarmId, signer)
    assert.is(said(own.witnesses), 'valid')
    assert.is(said([]), 'valid', 'a receipt without witnesses says so')
    assert.is.not(said([own.witnesses[0] ?? missing(), own.witnesses[0] ?? missing()]), 'valid')
    assert.is.not(said([forged({}, EDGE)]), 'valid')
    assert.is.not(said([forged({ jobId: digestNamed('older') })]), 'valid')
    assert.is.not(said([forged({ chainHead: digestNamed('another chain') })]), 'valid')
    assert.is.not(said([forged({ replica: 1 })]), 'valid')
    const changed = (own.witnesses[0] ?? missing()).slice()
    changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1
    assert.is.not(said([changed]), 'valid')
  }),
)

test(
  'who is drawn to watch has no owner in common with the worker or the edge, and a swarm with too few has fewer',
  within(15_000, async () => {
    const run = await settled()
    const job = run.swarm.log.job(run.id)
    const [worker = missing()] = job.workers
    const about = { holdHash: job.holdHash, attempt: 0, replica: 0, worker, edge: job.edge }
    const drawn = witnessesFor(run.swarm.log.state, about)
    assert.is(drawn.length, 3)
    assert.not.ok(drawn.includes(worker))
    const local = { ...run.swarm.log.state, genesis: { ...run.swarm.log.state.genesis, local: true } }
    assert.equal(witnessesFor(local, about), [])
    const [watching = missing()] = drawn
    const involved = witnessesFor(run.swarm.log.state, { ...about, edge: watching })
    assert.not.ok(involved.includes(watching))
  }),
)

test(
  'a speed bonus is paid on the median of three witnesses, and given back where it is too slow or they are too few',
  within(30_000, async () => {
    const legsOf = async (parts: Parameters<typeof settled>[1], options: JobSwarmOptions = {}) => {
      const verdict = verdictOf(await settled(options, parts))
      if (verdict.status !== 'valid') throw new Error(JSON.stringify(verdict))
      const { settlement, findings } = verdict.facts
      assert.is(settlement.cost + settlement.refund > 0n, true)
      return { kinds: settlement.legs.map(({ kind }) => kind), speeds: findings.map((one) => one.tokensPerSecondMilli) }
    }
    const fast = await legsOf({ speedTarget: 1, replicas: 2 })
    assert.is(fast.kinds.filter((kind) => kind === 'speed').length, 2)
    assert.ok(fast.speeds.every((speed) => speed > 1_000))
    const slow = await legsOf({ speedTarget: 65_535 })
    assert.equal([slow.kinds.includes('bonus'), slow.kinds.includes('speed')], [true, false])
    assert.ok(slow.speeds.every((speed) => speed > 0))
    const tap = (inner: PeerTransport): PeerTransport =>
      lookedAt(inner, (type, peer) => {
        if (type === 'witness/timeline') throw new FabricError('CF_MESH_PEER_UNREACHABLE', { peer })
      })
    const unseen = await legsOf({ speedTarget: 1 }, { tap })
    assert.equal([unseen.kinds.includes('speed'), unseen.speeds], [false, [0]])
  }),
)

test('a timeline holds no token: its bytes are as many however long the stream was', () => {
  const parts = { jobId: digestNamed('job'), attempt: 0, replica: 0, chainHead: digestNamed('head') }
  const of = (tokens: number): number =>
    timelineCodec.encode({
      ...{ ...parts, chunkCount: tokens, tokens, ttftMs: 1, tokensPerSecondMilli: 1, gapP50Ms: 1, gapP99Ms: 1 },
    }).length
  assert.ok(of(100_000) - of(1) <= 8)
  assert.ok(of(100_000) < chunkCodec.bytesMax)
})

test.run()
