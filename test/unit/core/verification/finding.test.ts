import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsToBytes } from '../../../../core/codec/bytes.ts'
import { openAs, sealAs } from '../../../../core/identity/envelope.ts'
import type { Digest } from '../../../../core/ids.ts'
import { nextChunk, openChain } from '../../../../core/latency/chain.ts'
import { chainHeadOf, NOTHING_SHOWN } from '../../../../core/latency/links.ts'
import { ZERO_DIGEST } from '../../../../core/ledger/settlement.ts'
import {
  type Commitment,
  commitmentCodec,
  commitmentHash,
  outputCommit,
  type Reveal,
  textDigest,
  tokensRoot,
} from '../../../../core/verification/commitment.ts'
import { exactClasses, type Finding, findingCodec, findingsOf, METHOD } from '../../../../core/verification/finding.ts'
import { EXACT_V1 } from '../../../../core/verification/policy.ts'
import { checkStructure, type Expectation, type ReplicaClaim } from '../../../../core/verification/structure.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'

const SWARM = swarmNamed('swarm')
const STOP = 2
const EXPECTED = {
  swarmId: SWARM,
  edge: keyNamed('edge').peer,
  jobId: jobNamed('job'),
  attempt: 1,
  assignmentHash: digestNamed('assignment'),
  rule: { kind: 'tokens', maxTokens: 6, vocabSize: 100, stopIds: [STOP], stop: [], verifiable: true },
  stopped: false,
} as const
/** The same job with texts that end its output. */
const ENDING = { ...EXPECTED, rule: { ...EXPECTED.rule, stop: ['END', '. '] } } as const
/** The same job with a sampler that nobody can replay. */
const FREE = { ...EXPECTED, rule: { ...EXPECTED.rule, verifiable: false } } as const
const HELLO = [10, 11, STOP]

type Shape = {
  readonly ids?: readonly number[]
  readonly text?: string
  readonly made?: Partial<Commitment>
  readonly shown?: Partial<Reveal>
  readonly signer?: string
}

/** What worker `w<replica>` hands in, honest but for the shape. */
function claim(
  replica: number,
  { ids = HELLO, text = 'hello', made = {}, shown = {}, signer }: Shape = {},
): ReplicaClaim {
  const worker = keyNamed(`w${replica}`)
  const salt = new Uint8Array(32).fill(replica + 1)
  const { jobId, attempt, assignmentHash } = EXPECTED
  const commitment: Commitment = {
    jobId,
    attempt,
    replica,
    assignmentHash,
    outputCommit: outputCommit(jobId, replica, worker.peer, tokensRoot(ids), textDigest(text), salt),
    tokenCount: ids.length,
    finishReason: 'stop',
    chunkCount: 1,
    chainHead: digestNamed('head'),
    schedule: [4],
    engineId: 'engine',
    ...made,
  }
  const opened = openAs(
    commitmentCodec,
    sealAs(commitmentCodec, commitment, SWARM, signer === undefined ? worker : keyNamed(signer)),
    SWARM,
  )
  const reveal: Reveal = { jobId, attempt, replica, ids: idsToBytes(ids), text, salt, ...NOTHING_SHOWN, ...shown }
  return { worker: worker.peer, commitment: opened.action === 'accept' ? opened.value : missing(), reveal }
}

const faultOf = (given: ReplicaClaim, replica = 0, expected: Expectation = EXPECTED) => {
  const structure = checkStructure(given, replica, expected)
  return structure.ok ? 'ok' : structure.reason
}

const judge = (replicas: readonly ReplicaClaim[]): readonly Finding[] =>
  findingsOf({ ...EXPECTED, swarmId: SWARM, policyId: EXACT_V1.id, replicas, seeds: [] })
const verdicts = (replicas: readonly ReplicaClaim[]) =>
  judge(replicas).map(({ verdict, agree }) => `${verdict} ${agree}`)

test('an honest output has no fault, whether it stopped or ran out of tokens', () => {
  assert.is(faultOf(claim(0)), 'ok')
  assert.is(faultOf(claim(0, { ids: [1, 3, 4, 5, 6, 7], made: { finishReason: 'length' } })), 'ok')
  assert.is(faultOf(claim(0, { ids: [1, 3, 4, 5, 6, STOP] })), 'ok')
  assert.is(faultOf(claim(0, { ids: [STOP], text: '' })), 'ok')
})

test('no commitment comes before no reveal', () => {
  assert.is(faultOf({ ...claim(0), commitment: undefined, reveal: undefined }), 'no_commitment')
  assert.is(faultOf({ ...claim(0), commitment: undefined }), 'no_commitment')
  assert.is(faultOf({ ...claim(0), reveal: undefined }), 'no_reveal')
})

test('a commitment to another job, attempt, replica or assignment, or by another worker, is a mismatch', () => {
  const parts: readonly Partial<Commitment>[] = [
    { jobId: jobNamed('job 2') },
    { attempt: 0 },
    { replica: 1 },
    { assignmentHash: digestNamed('other') },
  ]
  for (const made of parts) assert.is(faultOf(claim(0, { made })), 'commitment_mismatch')
  assert.is(faultOf(claim(0, { signer: 'w1' })), 'commitment_mismatch')
})

test('a reveal of anything but what was bound is a mismatch', () => {
  const parts: readonly Partial<Reveal>[] = [
    { jobId: jobNamed('job 2') },
    { attempt: 0 },
    { replica: 1 },
    { ids: idsToBytes([10, 12, STOP]) },
    { ids: idsToBytes([10, STOP]) },
    { ids: idsToBytes(HELLO).subarray(1) },
    { text: 'hello!' },
    { salt: new Uint8Array(32) },
  ]
  for (const shown of parts) assert.is(faultOf(claim(0, { shown })), 'commitment_mismatch')
  assert.is(faultOf(claim(0, { made: { tokenCount: 4 } })), 'commitment_mismatch')
})

/** The chain that worker `w0` sends an output in, of one chunk. */
function chainOf(ids: readonly number[]) {
  const { swarmId, jobId, attempt, edge } = EXPECTED
  const nonce = new Uint8Array(16).fill(9)
  const start = { swarmId, jobId, attempt, replica: 0, worker: keyNamed('w0').peer, receiver: edge, nonce }
  const links = [nextChunk(openChain(start), ids, 5n)]
  return { head: chainHeadOf(start, ids, { nonce, links }) ?? missing(), shown: { nonce, links } }
}

test('headers that name other tokens than the output were signed for something else: their worker fails', () => {
  const [own, other] = [chainOf(HELLO), chainOf([10, 12, STOP])]
  const given = (head: Digest, shown: Partial<Reveal>) => claim(0, { made: { chainHead: head, chunkCount: 1 }, shown })
  const honest = checkStructure(given(own.head, own.shown), 0, EXPECTED)
  assert.equal([honest.ok, honest.ok && honest.isChained], [true, true])
  assert.is(faultOf(given(other.head, other.shown)), 'chain_mismatch')
  assert.is(faultOf(given(other.head, own.shown)), 'chain_mismatch')
  assert.is(faultOf(claim(0, { made: { chainHead: own.head, chunkCount: 2 }, shown: own.shown })), 'chain_mismatch')
  assert.is(faultOf(given(own.head, { nonce: own.shown.nonce })), 'chain_mismatch', 'nothing has one form')
  const silent = checkStructure(given(other.head, {}), 0, EXPECTED)
  assert.equal([silent.ok, silent.ok && silent.isChained], [true, false], 'nobody has to show it')
})

test('an output copied from another replica does not open under its own commitment', () => {
  const original = claim(0)
  const copied = claim(1, { made: { outputCommit: original.commitment?.value.outputCommit ?? missing() } })
  assert.is(faultOf(copied, 1), 'commitment_mismatch')
  assert.is(
    faultOf({ ...claim(1), commitment: original.commitment, reveal: original.reveal }, 1),
    'commitment_mismatch',
  )
})

test('nothing, too much and ids outside the vocabulary are faults', () => {
  assert.is(faultOf(claim(0, { ids: [] })), 'empty')
  assert.is(faultOf(claim(0, { ids: [1, 3, 4, 5, 6, 7, STOP] })), 'too_many_tokens')
  assert.is(faultOf(claim(0, { ids: [100, STOP] })), 'id_out_of_range')
  assert.is(faultOf(claim(0, { ids: [2 ** 32 - 1, STOP] })), 'id_out_of_range')
})

test('an output ends at its first stop token or at the limit, and says which', () => {
  assert.is(faultOf(claim(0, { ids: [10, 11] })), 'stop_rule')
  assert.is(faultOf(claim(0, { ids: [10, STOP, 11, STOP] })), 'stop_rule')
  assert.is(faultOf(claim(0, { ids: [10, 11], made: { finishReason: 'length' } })), 'stop_rule')
  assert.is(faultOf(claim(0, { ids: [1, 3, 4, 5, 6, STOP], made: { finishReason: 'length' } })), 'stop_rule')
  assert.is(faultOf(claim(0, { made: { finishReason: 'aborted' } })), 'stop_rule')
})

test('an output ends with the token that completes a stop string, and says stop', () => {
  const fault = (shape: Shape) => faultOf(claim(0, shape), 0, ENDING)
  assert.is(fault({ ids: [10, 11], text: 'the END' }), 'ok')
  assert.is(fault({ ids: [10, 11], text: 'the ENDing, brought by one token' }), 'ok')
  assert.is(fault({ ids: [1, 3, 4, 5, 6, 7], text: 'so. ' }), 'ok', 'the last token may be the one that completes it')
  assert.is(fault({ ids: [10, 11, STOP], text: 'the EN' }), 'ok', 'the model may end by itself')
  assert.is(fault({ ids: [10, 11], text: 'the EN' }), 'stop_rule', 'neither a stop token nor a stop string')
})

test('a worker that goes on behind a stop string, or hides it, breaks the stop rule', () => {
  const fault = (shape: Shape, stopped = false) => faultOf(claim(0, shape), 0, { ...ENDING, stopped })
  const full = [1, 3, 4, 5, 6, 7]
  assert.is(fault({ ids: full, text: 'END and on', made: { finishReason: 'length' } }), 'stop_rule')
  assert.is(fault({ ids: [10, 11, STOP], text: 'END and on' }), 'stop_rule')
  assert.is(fault({ ids: [10, STOP, 11], text: 'END' }), 'stop_rule')
  const early = { ids: [10, 11], made: { finishReason: 'aborted' } } as const
  assert.is(fault({ ...early, text: 'END' }, true), 'stop_rule')
  assert.is(fault({ ...early, text: 'the EN' }, true), 'ok')
})

test('samples that nobody can replay rest on structure alone, equal or not', () => {
  const findings = (replicas: readonly ReplicaClaim[]) =>
    findingsOf({ ...FREE, swarmId: SWARM, policyId: EXACT_V1.id, replicas, seeds: [] })
  const shown = findings([claim(0), claim(1), claim(2, { ids: [12, STOP] }), claim(3, { ids: [100, STOP] })])
  assert.equal(
    shown.map(({ verdict, agree, methods }) => `${verdict} ${agree} ${methods}`),
    ['pass 2 1', 'pass 2 1', 'pass 1 1', 'fail 0 1'],
  )
})

test('a majority is at least ceil((R + 1) / 2) of all replicas, silent ones included', () => {
  assert.is(exactClasses(['a']).majority, 'a')
  assert.is(exactClasses(['a', 'b']).majority, undefined)
  assert.is(exactClasses(['a', 'a']).majority, 'a')
  assert.is(exactClasses(['a', 'a', 'b']).majority, 'a')
  assert.is(exactClasses(['a', 'b', 'c']).majority, undefined)
  assert.is(exactClasses(['a', 'a', 'b', 'b']).majority, undefined)
  assert.is(exactClasses(['a', 'a', undefined, undefined]).majority, undefined)
  assert.is(exactClasses(['a', 'a', 'a', undefined, 'b']).majority, 'a')
  assert.is(exactClasses([undefined]).majority, undefined)
})

test('one sound replica passes on structure alone', () => {
  const [finding] = judge([claim(0)])
  assert.equal(finding, {
    jobId: EXPECTED.jobId,
    attempt: 1,
    replica: 0,
    worker: keyNamed('w0').peer,
    commitmentHash: commitmentHash(SWARM, claim(0).commitment?.body ?? missing()),
    tokensRoot: tokensRoot(HELLO),
    tokenCount: 3,
    verdict: 'pass',
    methods: METHOD.structure,
    reason: 'none',
    agree: 1,
    policyId: EXACT_V1.id,
    auditsHash: ZERO_DIGEST,
    evidenceMicro: 0,
    auditors: [],
    outvoted: [],
    tokensPerSecondMilli: 0,
  })
})

test('two of three that agree pass, the third is inconclusive, not failed', () => {
  const findings = judge([claim(0), claim(1, { ids: [12, STOP] }), claim(2)])
  assert.equal(
    findings.map(({ verdict }) => verdict),
    ['pass', 'inconclusive', 'pass'],
  )
  assert.equal(
    findings.map(({ agree }) => agree),
    [2, 1, 2],
  )
  assert.ok(findings.every(({ methods, reason }) => methods === (METHOD.structure | METHOD.exact) && reason === 'none'))
})

test('three different outputs are inconclusive', () => {
  assert.equal(verdicts([claim(0), claim(1, { ids: [12, STOP] }), claim(2, { ids: [13, STOP] })]), [
    'inconclusive 1',
    'inconclusive 1',
    'inconclusive 1',
  ])
})

test('an output that the edge asked to end early is inconclusive, alone or among equals, and ends before any stop token', () => {
  const aborted = (replica: number) => claim(replica, { ids: [10, 11], made: { finishReason: 'aborted' } })
  const asked = (claims: readonly ReplicaClaim[]) =>
    findingsOf({ ...EXPECTED, stopped: true, swarmId: SWARM, policyId: EXACT_V1.id, replicas: claims, seeds: [] })
  const findings = [...asked([aborted(0)]), ...asked([aborted(0), aborted(1)])]
  for (const { verdict, reason } of findings) assert.is(`${verdict} ${reason}`, 'inconclusive aborted')
  assert.is(asked([claim(0, { ids: HELLO, made: { finishReason: 'aborted' } })])[0]?.reason, 'stop_rule')
  assert.is(asked([claim(0, { ids: [], made: { finishReason: 'aborted' } })])[0]?.verdict, 'inconclusive')
})

test('a worker that ends early although nobody asked breaks the stop rule', () => {
  assert.is(faultOf(claim(0, { ids: [10, 11], made: { finishReason: 'aborted' } })), 'stop_rule')
  assert.is(faultOf(claim(0, { ids: HELLO, made: { finishReason: 'aborted' } })), 'stop_rule')
  assert.is(faultOf(claim(0, { ids: [], made: { finishReason: 'aborted' } })), 'empty')
})

test('other text on the same tokens is another output', () => {
  assert.equal(verdicts([claim(0), claim(1), claim(2, { text: 'buy this' })]), ['pass 2', 'pass 2', 'inconclusive 1'])
  assert.equal(verdicts([claim(0), claim(1, { text: 'buy this' })]), ['inconclusive 1', 'inconclusive 1'])
})

test('a replica that handed in nothing fails and weighs against a majority', () => {
  const lost: ReplicaClaim = { worker: keyNamed('w1').peer, commitment: undefined, reveal: undefined }
  const findings = judge([claim(0), lost])
  assert.equal(
    findings.map(({ verdict, reason }) => `${verdict} ${reason}`),
    ['inconclusive none', 'fail no_commitment'],
  )
  assert.is(findings[1]?.commitmentHash, '0'.repeat(64))
  assert.is(findings[1]?.tokensRoot, '0'.repeat(64))
})

test('a worker that commits and does not reveal fails under its commitment', () => {
  const [, finding] = judge([claim(0), { ...claim(1), reveal: undefined }])
  assert.is(finding?.verdict, 'fail')
  assert.is(finding?.reason, 'no_reveal')
  assert.is.not(finding?.commitmentHash, '0'.repeat(64))
})

test('every finding fits its body and comes back the same', () => {
  for (const finding of judge([claim(0), claim(1), { ...claim(2), reveal: undefined }])) {
    assert.equal(findingCodec.decode(findingCodec.encode(finding)), { action: 'accept', value: finding })
  }
})

test.run()
