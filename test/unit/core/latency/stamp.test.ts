import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkStamp, stampCodec, type WitnessStamp } from '../../../../core/latency/stamp.ts'
import { digestNamed, jobNamed, keyNamed } from '../../../support/people.ts'

const WITNESS = keyNamed('witness').peer
const CHUNK = { jobId: jobNamed('job'), attempt: 0, replica: 1, index: 2, hash: digestNamed('chunk') }
const STAMP: WitnessStamp = {
  jobId: CHUNK.jobId,
  attempt: 0,
  replica: 1,
  index: 2,
  chunkHash: CHUNK.hash,
  receivedNs: 5_000_000n,
  rttWorkerUs: 300,
  rttReceiverUs: 200,
}

const verdict = (part: Partial<WitnessStamp>, signer = WITNESS) => {
  const checked = checkStamp({ value: { ...STAMP, ...part }, signer }, CHUNK, [WITNESS])
  return checked.action === 'reject' ? checked.reason : checked.action
}

test('a stamp survives the bytes and is accepted for its chunk', () => {
  assert.equal(stampCodec.decode(stampCodec.encode(STAMP)), { action: 'accept', value: STAMP })
  assert.is(verdict({}), 'accept')
})

test('a stamp by somebody else or about another chunk is refused', () => {
  assert.is(verdict({}, keyNamed('stranger').peer), 'signer_mismatch')
  const parts: readonly Partial<WitnessStamp>[] = [
    { jobId: jobNamed('job 2') },
    { attempt: 1 },
    { replica: 0 },
    { index: 3 },
    { chunkHash: digestNamed('other') },
  ]
  for (const part of parts) assert.is(verdict(part), 'chunk_mismatch')
})

test.run()
