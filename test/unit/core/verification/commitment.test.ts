import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash, sha256 } from '#core/hash'
import { concatBytes, idsToBytes, u32be } from '../../../../core/codec/bytes.ts'
import { digestOf } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'
import {
  type Commitment,
  commitmentCodec,
  commitmentHash,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../../../core/verification/commitment.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'

const upTo = (count: number) => Array.from({ length: count }, (_, place) => place)
const leaf = (index: number, ids: readonly number[]) =>
  sha256(concatBytes(Uint8Array.of(0), u32be(index), idsToBytes(ids)))
const node = (left: Uint8Array, right: Uint8Array) => sha256(concatBytes(Uint8Array.of(1), left, right))

const COMMITMENT: Commitment = {
  jobId: jobNamed('job'),
  attempt: 0,
  replica: 0,
  assignmentHash: digestNamed('assignment'),
  outputCommit: digestNamed('output'),
  tokenCount: 3,
  finishReason: 'stop',
  chunkCount: 1,
  chainHead: digestNamed('head'),
  schedule: [63, 17],
  engineId: 'engine',
}

test('the root is the Merkle tree of 32-token leaves, an odd node moves up', () => {
  const ids = upTo(70)
  assert.is(tokensRoot([]), digestOf(domainHash('tokens-empty')))
  assert.is(tokensRoot(upTo(32)), digestOf(leaf(0, upTo(32))))
  const [a, b, c] = [leaf(0, ids.slice(0, 32)), leaf(1, ids.slice(32, 64)), leaf(2, ids.slice(64))]
  assert.is(tokensRoot(ids), digestOf(node(node(a, b), c)))
  assert.is(tokensRoot(Uint32Array.from(ids)), tokensRoot(ids))
})

test('any changed, added, removed or swapped id changes the root', () => {
  for (const count of [1, 31, 32, 33, 64, 65, 96, 97]) {
    const ids = upTo(count).map((id) => id + 1)
    const last = ids.at(-1) ?? 0
    const others = [ids.with(0, 0), ids.with(-1, last + 1), [...ids, 0], ids.slice(1), ids.slice(0, -1)]
    const roots = [ids, ...others, ...(count > 1 ? [[...ids].reverse()] : [])].map(tokensRoot)
    assert.is(new Set(roots).size, count > 1 ? roots.length : roots.length - 1, `${count} ids`)
  }
})

test('two equal leaves at different places have different hashes', () => {
  const same = [...upTo(32), ...upTo(32)]
  assert.is.not(tokensRoot(same), digestOf(node(leaf(0, upTo(32)), leaf(0, upTo(32)))))
})

test('an output commitment binds job, replica, worker, tokens, text and salt', () => {
  const [job, worker, root, text, salt] = [
    jobNamed('job'),
    keyNamed('w').peer,
    tokensRoot([1]),
    textDigest('a'),
    new Uint8Array(32),
  ]
  const all = [
    outputCommit(job, 0, worker, root, text, salt),
    outputCommit(jobNamed('job 2'), 0, worker, root, text, salt),
    outputCommit(job, 1, worker, root, text, salt),
    outputCommit(job, 0, keyNamed('x').peer, root, text, salt),
    outputCommit(job, 0, worker, tokensRoot([2]), text, salt),
    outputCommit(job, 0, worker, root, textDigest('b'), salt),
    outputCommit(job, 0, worker, root, text, salt.with(31, 1)),
  ]
  assert.is(new Set(all).size, all.length)
})

test('a commitment and a reveal survive the bytes', () => {
  assert.equal(commitmentCodec.decode(commitmentCodec.encode(COMMITMENT)), { action: 'accept', value: COMMITMENT })
  const reveal = {
    jobId: jobNamed('job'),
    attempt: 0,
    replica: 1,
    ids: idsToBytes([1, 2]),
    text: 'é…',
    salt: new Uint8Array(32).fill(3),
    nonce: new Uint8Array(16).fill(4),
    links: [{ tokenCount: 2, echoedNonce: new Uint8Array(16).fill(4), monoNs: 5n }],
  }
  assert.equal(revealCodec.decode(revealCodec.encode(reveal)), { action: 'accept', value: reveal })
})

test('the longest schedule of prompt chunks fits a commitment', () => {
  const schedule = Array.from({ length: LIMITS.scheduleChunkCountMax }, () => 63)
  const body = commitmentCodec.encode({ ...COMMITMENT, schedule, engineId: 'e'.repeat(96) })
  assert.is(commitmentCodec.decode(body).action, 'accept')
})

test('the hash of a commitment binds the swarm and every byte', () => {
  const body = commitmentCodec.encode(COMMITMENT)
  const hash = commitmentHash(swarmNamed('a'), body)
  assert.is.not(commitmentHash(swarmNamed('b'), body), hash)
  assert.is.not(commitmentHash(swarmNamed('a'), body.with(-1, 0)), hash)
})

test.run()
