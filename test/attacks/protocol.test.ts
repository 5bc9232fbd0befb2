/** Rows 21, 24 to 28, 31 and 35: what auditors, disputes, witnesses and the log make of liars. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeWire } from '../../core/codec/canonical.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { userAccount } from '../../core/ids.ts'
import { type Chunk, chunkCodec } from '../../core/latency/chain.ts'
import { summarise } from '../../core/latency/summary.ts'
import { latencyOf, openSighting, type Sighting, sight, timelineOf } from '../../core/latency/timeline.ts'
import { LIMITS } from '../../core/limits.ts'
import { DEFAULT_POLICY } from '../../core/log/genesis.ts'
import { auditPermilleOf, standingOf } from '../../core/log/standing.ts'
import { auditCodec, statisticsOf } from '../../core/verification/audit.ts'
import { commitmentCodec, revealCodec } from '../../core/verification/commitment.ts'
import { isReportOf } from '../../core/verification/report.ts'
import { expectAccepted, OUTPUT } from '../support/job-run.ts'
import { ALICE, applied, LogSwarm } from '../support/log-swarm.ts'
import { missing } from '../support/missing.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../support/people.ts'
import { auditedJob, reportBy, taskOf, verdictsOf } from './support/audits.ts'
import { observe } from './support/catalogue.ts'

const WRONG = [11, 12, 13, 99, 0]

test('row 21: two of three that agree on a wrong output have the majority and fail the audit', () => {
  const job = auditedJob([WRONG, WRONG, OUTPUT])
  const [pair, lone] = [taskOf(job), taskOf(job, 1)]
  const unaudited = verdictsOf(job.run)
  const audits = [
    { first: 0, reports: pair.auditors.slice(0, 2).map((auditor) => reportBy(job, pair, auditor, 8)) },
    { first: 2, reports: [reportBy(job, lone, lone.auditors[0], 0)] },
  ]
  const found = verdictsOf(job.run, { audits })
  observe(21, `unaudited: ${[...unaudited].join(', ')}; audited: ${[...found].join(', ')}`)
  assert.equal(unaudited, ['pass', 'pass', 'inconclusive'])
  assert.equal(found, ['fail audit_failed', 'fail audit_failed', 'pass'])
})

test('row 24: an auditor that always says fail is outvoted by two', () => {
  const job = auditedJob([OUTPUT, OUTPUT, OUTPUT])
  const task = taskOf(job)
  const [a, b, c] = task.auditors
  const malicious = reportBy(job, task, a, 0, { verdict: 'fail' })
  const alone = verdictsOf(job.run, { audits: [{ first: 0, reports: [malicious] }] })
  const reports = [malicious, reportBy(job, task, b, 0), reportBy(job, task, c, 0)]
  const outvoted = verdictsOf(job.run, { audits: [{ first: 0, reports }] })
  observe(24, `alone: ${alone[0]}; with two others: ${outvoted[0]}`)
  assert.is(alone[0], 'suspect audit_suspect')
  assert.is(outvoted[0], 'pass')
})

test('row 25: a dispute that the referees reject costs its bond, and cannot be opened again', () => {
  const swarm = new LogSwarm()
  const judged = swarm.judged()
  applied(swarm.apply('settlement', swarm.settlement(judged, 1)))
  const job = swarm.job(judged.id)
  const before = swarm.balance(userAccount(ALICE.peer))
  const envelope = swarm.dispute(job, ALICE)
  applied(swarm.apply('dispute', envelope))
  applied(swarm.apply('correction', swarm.ruling(job, 'rejected')))
  const lost = before - swarm.balance(userAccount(ALICE.peer))
  const again = swarm.apply('dispute', envelope)
  const anew = swarm.apply('dispute', swarm.dispute(job, ALICE))
  observe(25, `${lost} micro-credit lost; the same again: ${again.status}; another by the same: ${anew.status}`)
  assert.ok(lost > 0n)
  assert.is(again.status, 'refused')
  assert.is(anew.status, 'refused')
})

const SWARM = swarmNamed('swarm')
const WORKER = keyNamed('worker')
const MS = 1_000_000n

/** Chunks of 32 tokens, 100 ms apart on the witness's clock and so many on the worker's. */
function witnessed(workerGapMs: bigint, witnessGapMs = 100n): Sighting {
  const about = {
    swarmId: SWARM,
    jobId: jobNamed('job'),
    attempt: 0,
    replica: 0,
    worker: WORKER.peer,
    tokensMax: 1_024,
  }
  let seen = openSighting(about)
  for (let index = 0; index < 8; index += 1) {
    const chunk: Chunk = {
      ...{ jobId: about.jobId, attempt: 0, replica: 0, index, tokenStart: index * 32, tokenCount: 32 },
      ...{ tokensLeaf: digestNamed('leaf'), previous: seen.head ?? digestNamed('start') },
      ...{ echoedNonce: new Uint8Array(16), monoNs: BigInt(index + 1) * workerGapMs * MS },
    }
    const opened = expectAccepted(openAs(chunkCodec, sealAs(chunkCodec, chunk, SWARM, WORKER), SWARM))
    seen = expectAccepted(sight(seen, opened, BigInt(index + 1) * witnessGapMs * MS))
  }
  return seen
}

const speedOf = (seen: Sighting): number => timelineOf(seen)?.tokensPerSecondMilli ?? missing()

test('row 26: what a worker writes on its own clock changes no figure', () => {
  const [honest, fast] = [speedOf(witnessed(100n)), speedOf(witnessed(1n))]
  observe(
    26,
    `${honest / 1000} tokens/s by a witness for an honest clock, ${fast / 1000} for one a hundred times as fast`,
  )
  assert.is(fast, honest)
})

test('rows 27 and 28: witnesses outweigh the client, and two honest ones a third', () => {
  const timeline = (gapMs: bigint) => timelineOf(witnessed(100n, gapMs)) ?? missing()
  const own = summarise(Array.from({ length: 8 }, (_, at) => ({ tokenCount: 32, receivedNs: BigInt(at + 1) * MS })))
  const [a, b, lying] = [timeline(100n), timeline(110n), timeline(1n)]
  const ruled = latencyOf(own, [a, b, timeline(105n)])
  observe(
    27,
    `the client says ${own.tokensPerSecondMilli / 1000} tokens/s, the receipt ${ruled.tokensPerSecondMilli / 1000}; with fewer than three witnesses it says the client's and that nobody witnessed it`,
  )
  assert.ok(ruled.isWitnessed && ruled.tokensPerSecondMilli <= a.tokensPerSecondMilli)
  assert.is(latencyOf(own, [a, b]).isWitnessed, false)
  const median = latencyOf(own, [a, lying, b])
  observe(
    28,
    `honest ${a.gapP50Ms} and ${b.gapP50Ms} ms between chunks, the liar ${lying.gapP50Ms}: median ${median.gapP50Ms}`,
  )
  assert.ok(median.gapP50Ms >= Math.min(a.gapP50Ms, b.gapP50Ms) && median.gapP50Ms <= Math.max(a.gapP50Ms, b.gapP50Ms))
})

test('row 31: whoever comes back under a new name is audited always, as at first', () => {
  const swarm = new LogSwarm()
  const worker = keyNamed('w0').peer
  const rates: number[] = []
  for (let done = 0; done < 51; done += 1) {
    rates.push(auditPermilleOf(standingOf(swarm.state, worker), DEFAULT_POLICY))
    swarm.judged({ nonce: BigInt(swarm.entries.length), replicas: 1, expiresMs: swarm.nowMs + 1_000n }, [{ agree: 1 }])
  }
  const stranger = auditPermilleOf(undefined, DEFAULT_POLICY)
  const full = rates.filter((rate) => rate === 1_000).length
  observe(
    31,
    `${full} findings at 1,000 permille, then ${rates.at(-1)}; a name that the log does not know: ${stranger}`,
  )
  assert.is(full, 50)
  assert.is(stranger, 1_000)
})

test('row 35: what is too long, has what no number can be, or does not fit itself is refused', () => {
  const job = auditedJob([OUTPUT, OUTPUT, OUTPUT])
  const task = taskOf(job)
  const { swarmId } = job.run.swarm.state
  const report = expectAccepted(openAs(auditCodec, reportBy(job, task, task.auditors[0], 1), swarmId)).value
  const fits = (parts: Partial<typeof report>) => isReportOf({ ...report, ...parts }, OUTPUT.length, job.plan.beacon)
  const [spot] = report.worst
  const lies: readonly Partial<typeof report>[] = [
    { positions: OUTPUT.length + 1 },
    { positions: 0 },
    { worst: spot === undefined ? [] : [spot, spot] },
    { worst: spot === undefined ? [] : [{ ...spot, position: OUTPUT.length }] },
    { worst: [] },
    { probes: report.probes.slice(1) },
    { probes: report.probes.toReversed() },
    { probes: report.probes.map((probe) => ({ ...probe, position: probe.position + 1 })) },
    { worstMicro: 8_000_001, outsideCount: 1 },
    { meanMicro: report.worstMicro + 2 },
    { meanMicro: 0 },
    { stopMicro: report.worstMicro + 1 },
    { overCount: OUTPUT.length + 1 },
    { outsideCount: 1 },
  ]
  const refused = lies.filter((parts) => !fits(parts)).length
  const bytes: readonly (readonly [string, boolean])[] = [
    ['a list of 17', auditCodec.decode(encodeWire([1, ...Array.from({ length: 17 }, () => 0)])).action === 'accept'],
    ['a map', auditCodec.decode(Uint8Array.of(0x81, 1, 2)).action === 'accept'],
    ['not a number', commitmentCodec.decode(Uint8Array.of(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0)).action === 'accept'],
    ['a count of 2^32', revealCodec.decode(Uint8Array.of(0xdd, 255, 255, 255, 255)).action === 'accept'],
    [
      'more than a reveal holds',
      revealCodec.decode(new Uint8Array(LIMITS.receiptOutputBytesMax + 1)).action === 'accept',
    ],
    ['nothing', commitmentCodec.decode(new Uint8Array()).action === 'accept'],
  ]
  const read = bytes.filter(([, accepted]) => accepted).map(([name]) => name)
  observe(
    35,
    `${refused} of ${lies.length} reports that do not fit themselves and ${bytes.length - read.length} of ${bytes.length} malformed bodies are refused; test/fuzz sends many more`,
  )
  assert.ok(fits({}), 'the report itself is sound')
  assert.is(refused, lies.length)
  assert.equal(read, [])
  assert.is(statisticsOf([], []).positions, 0)
})

test.run()
