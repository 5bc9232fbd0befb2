/** Rows 11, 12, 15 and 17 to 20: what commitments, their witnesses and their order refuse without asking any model. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsToBytes, utf8 } from '../../core/codec/bytes.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { owed } from '../../core/job/owed.ts'
import { type Chunk, chunkCodec } from '../../core/latency/chain.ts'
import { checkContradiction } from '../../core/receipt/evidence-contradiction.ts'
import { contradictionFile } from '../../core/receipt/evidence-file.ts'
import {
  type Commitment,
  commitmentCodec,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../core/verification/commitment.ts'
import { assigned, committed, runTo } from '../support/every-phase.ts'
import { expectAccepted, JobRun, OUTPUT, secretOf } from '../support/job-run.ts'
import { missing } from '../support/missing.ts'
import { digestNamed } from '../support/people.ts'
import { verdictsOf } from './support/audits.ts'
import { observe } from './support/catalogue.ts'

const LOCAL = { genesis: { local: true } }

function commitmentOf(run: JobRun, replica: number): Commitment {
  const envelope = run.claims.get(replica)?.commitment ?? missing('a claim')
  return expectAccepted(openAs(commitmentCodec, envelope, run.swarm.state.swarmId)).value
}

function sealed(run: JobRun, replica: number, commitment: Commitment): Uint8Array {
  return sealAs(commitmentCodec, commitment, run.swarm.state.swarmId, secretOf(run.workers[replica]))
}

function show(verdicts: readonly string[] | string): string {
  return typeof verdicts === 'string' ? verdicts : verdicts.join(', ')
}

function isIn(bytes: Uint8Array, part: Uint8Array): boolean {
  return Buffer.from(bytes).includes(Buffer.from(part))
}

test('row 11: what a peer has committed to cannot be read, nor a guess of it confirmed', () => {
  const run = runTo(assigned)
  run.commit(0)
  const envelope = run.claims.get(0)?.commitment ?? missing()
  const { outputCommit: bound } = commitmentOf(run, 0)
  const worker = run.workers[0] ?? missing()
  const guess = (salt: Uint8Array) =>
    outputCommit(run.id, 0, worker, tokensRoot(OUTPUT), textDigest('a text'), salt) === bound
  const guesses = [new Uint8Array(32), new Uint8Array(32).fill(255), Uint8Array.from(utf8(run.id)).slice(0, 32)]
  const leaks = [idsToBytes([...OUTPUT]), utf8('a text')].filter((part) => isIn(envelope, part)).length
  const asked = owed(run.job).map(({ type }) => String(type))
  observe(
    11,
    `a commitment holds ${leaks} of ids and text; the right output without the salt opens ${guesses.filter(guess).length} of ${guesses.length}; the edge asks for ${asked.filter((type) => type.includes('reveal')).length} reveals while a replica is still to commit`,
  )
  assert.is(leaks, 0)
  assert.ok(guess(new Uint8Array(32).fill(1)), 'with its salt it opens')
  assert.not.ok(guesses.some(guess))
  assert.not.ok(asked.some((type) => type.includes('reveal')))
})

test('row 12: the commitment of a peer, signed anew, does not open for another worker', () => {
  const run = runTo(assigned, LOCAL)
  for (const replica of [0, 1, 2]) run.claim(replica)
  const stolen = sealed(run, 1, { ...commitmentOf(run, 1), outputCommit: commitmentOf(run, 0).outputCommit })
  const shown = expectAccepted(revealCodec.decode(run.claims.get(0)?.reveal ?? missing()))
  const reveal = revealCodec.encode({ ...shown, replica: 1 })
  const claims = [0, 1, 2].map((replica) => run.claims.get(replica) ?? missing())
  const handed = (replica: number) => claims[replica] ?? missing()
  for (const replica of [0, 1, 2])
    run.tell({ type: 'committed', replica, commitment: replica === 1 ? stolen : handed(replica).commitment })
  for (const replica of [0, 1, 2])
    run.tell({ type: 'revealed', replica, reveal: replica === 1 ? reveal : handed(replica).reveal })
  const verdicts = verdictsOf(run)
  observe(12, `replica 1 hands in what replica 0 committed to and revealed: ${show(verdicts)}`)
  assert.equal(verdicts, ['pass', 'fail commitment_mismatch', 'pass'])
})

test('rows 13 and 15: ids outside the vocabulary, tokens behind the end and more tokens than there are', () => {
  const run = new JobRun()
  run.execute([OUTPUT, [11, 12, 0, 13, 0], [11, 5_000, 13, 14, 0]])
  const verdicts = verdictsOf(run)
  observe(13, `an id outside the vocabulary: ${verdicts[2]}`)
  const inflated = runTo(assigned, LOCAL)
  for (const replica of [0, 1, 2]) inflated.claim(replica)
  const commitment = sealed(inflated, 1, { ...commitmentOf(inflated, 1), tokenCount: OUTPUT.length + 20 })
  for (const replica of [0, 1, 2])
    inflated.tell({
      type: 'committed',
      replica,
      commitment: replica === 1 ? commitment : (inflated.claims.get(replica)?.commitment ?? missing()),
    })
  for (const replica of [0, 1, 2]) inflated.reveal(replica)
  observe(15, `tokens behind a stop token: ${verdicts[1]}; 20 tokens more than are shown: ${verdictsOf(inflated)[1]}`)
  assert.is(verdicts[1], 'fail stop_rule')
  assert.is(verdicts[2], 'fail id_out_of_range')
  assert.is(verdictsOf(inflated)[1], 'fail commitment_mismatch')
})

test('row 17: commitment and reveal of an older job do not fit a new one', () => {
  const old = runTo(committed)
  const run = runTo(assigned, { ...LOCAL, intent: { nonce: 2n } })
  const stale = old.claims.get(1) ?? missing()
  for (const replica of [0, 1, 2]) {
    const { commitment } = replica === 1 ? stale : run.claim(replica)
    run.tell({ type: 'committed', replica, commitment })
  }
  for (const replica of [0, 1, 2]) {
    const claim = replica === 1 ? stale : (run.claims.get(replica) ?? missing())
    run.tell({ type: 'revealed', replica, reveal: claim.reveal })
  }
  const verdicts = verdictsOf(run)
  observe(17, `as it was signed for the older job: ${verdicts[1]}`)
  assert.ok(String(verdicts[1]).startsWith('fail '))
  assert.is(verdicts[0], 'pass')
})

test('row 18: two commitments, or two chunks, for one place are evidence that anybody can check', () => {
  const run = runTo(assigned)
  run.claim(1)
  const first = commitmentOf(run, 1)
  const one = sealed(run, 1, first)
  const other = sealed(run, 1, { ...first, tokenCount: first.tokenCount + 1 })
  const { state, genesis } = run.swarm
  const check = (a: Uint8Array, b: Uint8Array) =>
    checkContradiction(state, contradictionFile(genesis.bytes, 'commitment', a, b).contradiction)
  const found = expectAccepted(check(one, other))
  const chunk: Chunk = {
    ...{ jobId: run.id, attempt: 0, replica: 1, index: 3, tokenStart: 96, tokenCount: 32, monoNs: 1n },
    ...{ tokensLeaf: digestNamed('leaf'), previous: digestNamed('chunk 2'), echoedNonce: new Uint8Array(16) },
  }
  const chunks = [chunk, { ...chunk, tokensLeaf: digestNamed('another leaf') }].map((value) =>
    sealAs(chunkCodec, value, state.swarmId, secretOf(run.workers[1])),
  )
  const [a = missing(), b = missing()] = chunks
  const forked = expectAccepted(
    checkContradiction(state, contradictionFile(genesis.bytes, 'chunk', a, b).contradiction),
  )
  observe(
    18,
    `a file of two commitments convicts ${found.signers.length} signer, one of two chunks ${forked.signers.length}; the same commitment twice convicts nobody`,
  )
  assert.equal(forked.signers, [run.workers[1]])
  assert.equal(found.signers, [run.workers[1]])
  assert.is(check(one, one).action, 'reject')
  const elsewhere = sealed(run, 1, { ...first, replica: 2 })
  assert.is(check(one, elsewhere).action, 'reject')
})

test('row 19: who commits and does not reveal fails alone', () => {
  const run = runTo(committed)
  run.witness()
  for (const replica of [0, 2]) run.reveal(replica)
  run.tell({ type: 'tick', nowMs: Number(assignmentOf(run.assignment).revealByMs) })
  const verdicts = verdictsOf(run)
  observe(19, `replica 1 of three stays silent: ${show(verdicts)}`)
  assert.equal(verdicts, ['pass', 'fail no_reveal', 'pass'])
})

test('row 20: a commitment that comes late is in no certified set, and none that was signed fits it', () => {
  const run = runTo(assigned)
  for (const replica of [0, 2]) run.commit(replica)
  run.tell({ type: 'tick', nowMs: Number(assignmentOf(run.assignment).commitByMs) })
  for (const replica of [0, 2]) run.reveal(replica)
  const before = JSON.stringify(run.job.phase)
  const late = run.claim(1)
  run.tell({ type: 'committed', replica: 1, commitment: late.commitment })
  const { commitments } = run.findingProposal
  const slipped = verdictsOf(run, { commitments: commitments.with(1, late.commitment) })
  const verdicts = verdictsOf(run)
  observe(20, `without it: ${show(verdicts)}; slipped in behind the signatures: ${slipped}`)
  assert.is(JSON.stringify(run.job.phase), before)
  assert.equal(verdicts, ['pass', 'fail no_commitment', 'pass'])
  assert.is(slipped, 'reject signature_invalid')
})

test.run()
