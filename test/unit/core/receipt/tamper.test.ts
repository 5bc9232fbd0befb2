/** Whatever is done to the bytes of a receipt file, its verdict is `invalid` and says where. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes } from '../../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../../core/codec/canonical.ts'
import { invariant } from '../../../../core/invariant.ts'
import { type Receipt, receiptCodec } from '../../../../core/receipt/receipt.ts'
import { verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { revealCodec } from '../../../../core/verification/commitment.ts'
import { EDGE, expectAccepted, OTHER_EDGE, secretOf } from '../../../support/job-run.ts'
import { ALICE } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'
import { LIES, resealed } from '../../../support/receipt-lies.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { ENDS, type End, settledRun } from '../../../support/settled-job.ts'

const random = seededRandom(testSeed())
const NOTHING = new Uint8Array()
const SAMPLE = 250

function whereInvalid(file: Uint8Array, root: string, what: string): string {
  const verdict = verifyReceiptFile(file, { roots: new Set([root]) })
  assert.is(verdict.status, 'invalid', what)
  invariant(verdict.status === 'invalid', 'as asserted')
  assert.ok(verdict.where.length > 0, `${what}: says where`)
  return verdict.where
}

/** A position changed to another byte: all eight bits are tried over the positions of a file. */
function flipped(file: Uint8Array, position: number): Uint8Array {
  return file.with(position, (file[position] ?? 0) ^ (1 << random.below(8)))
}

/** Files that are flipped at every position; the others in a sample. */
const WHOLE: ReadonlySet<End> = new Set(['one', 'no_workers', 'expired_held'])

for (const end of ENDS) {
  test(`${end}: a flipped bit at ${WHOLE.has(end) ? 'any' : 'a sampled'} position makes the file invalid, and says where`, () => {
    const { file, root } = settledRun(end)
    const all = [...file.keys()]
    const positions = WHOLE.has(end) ? all : Array.from({ length: SAMPLE }, () => random.below(file.length))
    const places = new Map<string, number>()
    for (const position of positions) {
      const where = whereInvalid(flipped(file, position), root, `position ${position}`)
      places.set(where, (places.get(where) ?? 0) + 1)
    }
    console.log(`${end}: ${positions.length} of ${file.length} positions, ${places.size} different places named`)
    if (WHOLE.has(end)) assert.ok(places.size >= 5)
  })
}

test('every byte of one file replaced by zero, by 0xff and by its neighbour is invalid', () => {
  const { file, root } = settledRun('expired_held')
  for (const [position, byte] of file.entries()) {
    for (const other of [0, 0xff, file[position + 1] ?? 0x80]) {
      if (other !== byte) whereInvalid(file.with(position, other), root, `position ${position} to ${other}`)
    }
  }
})

test('a file cut at any byte is invalid, and so is one with a byte inserted or removed', () => {
  for (const end of ENDS) {
    const { file, root } = settledRun(end)
    for (let length = 0; length < file.length; length += 1)
      whereInvalid(file.subarray(0, length), root, `cut at ${length}`)
    for (let times = 0; times < 40; times += 1) {
      const at = random.below(file.length)
      const [head, tail] = [file.subarray(0, at), file.subarray(at)]
      whereInvalid(concatBytes(head, random.bytes(1), tail), root, `inserted at ${at}`)
      whereInvalid(concatBytes(head, tail.subarray(1)), root, `removed at ${at}`)
    }
  }
})

test('any byte appended to a file is invalid', () => {
  for (const end of ENDS) {
    const { file, root } = settledRun(end)
    for (let byte = 0; byte < 256; byte += 1)
      whereInvalid(concatBytes(file, Uint8Array.of(byte)), root, `appended ${byte}`)
  }
})

test('what is no receipt at all is invalid', () => {
  const { root, parts } = settledRun('one')
  const wires: readonly Wire[] = [0, '', [], [1], [1, 'receipt', NOTHING], [1, 'receipt', 'text', NOTHING, NOTHING]]
  for (const wire of wires) whereInvalid(encodeWire(wire), root, JSON.stringify(wire))
  for (const bytes of [NOTHING, Uint8Array.of(0xc1), new Uint8Array(5_000), parts.receipt, parts.output])
    whereInvalid(bytes, root, 'no receipt')
})

const same = (receipt: Receipt): Receipt => receipt

test('a file sealed again by anyone but the edge of its job is invalid at its seal', () => {
  for (const end of ENDS) {
    const settled = settledRun(end)
    const worker = settled.run.first.draw.ranked[0]
    for (const key of [keyNamed('mallory'), ALICE, secretOf(worker), keyNamed('v0'), OTHER_EDGE]) {
      assert.is(whereInvalid(resealed(settled, same, key), settled.root, end), 'seal')
    }
  }
})

test('a receipt that names another edge does not verify: sealed by that one neither, once the job was assigned', () => {
  const renamed = (receipt: Receipt): Receipt => ({ ...receipt, hold: { ...receipt.hold, edge: OTHER_EDGE.peer } })
  for (const end of ENDS) {
    const settled = settledRun(end)
    whereInvalid(resealed(settled, renamed), settled.root, end)
    const { assignment } = expectAccepted(receiptCodec.decode(settled.parts.receipt))
    if (assignment.body.length === 0) continue
    assert.is(whereInvalid(resealed(settled, renamed, OTHER_EDGE), settled.root, end), 'hold')
  }
})

test('a delivery or commitment taken out and sealed by one who is no edge is invalid', () => {
  const settled = settledRun('three')
  const noDelivery = (receipt: Receipt): Receipt => ({
    ...receipt,
    execution: { ...receipt.execution, delivery: NOTHING },
  })
  const noCommitment = (receipt: Receipt): Receipt => ({
    ...receipt,
    execution: { ...receipt.execution, commitments: receipt.execution.commitments.with(1, NOTHING) },
  })
  assert.is(whereInvalid(resealed(settled, noDelivery, keyNamed('mallory')), settled.root, 'delivery'), 'seal')
  whereInvalid(resealed(settled, noCommitment, keyNamed('mallory')), settled.root, 'commitment')
  assert.is(
    whereInvalid(resealed(settled, noCommitment), settled.root, 'commitment, by the edge'),
    'verification[1].finding',
  )
})

for (const [name, change, where] of LIES) {
  test(`an edge that lies is found out: ${name}`, () => {
    const settled = settledRun('three')
    assert.is(whereInvalid(resealed(settled, change), settled.root, name), where)
  })
}

test('the output cannot be changed, left out, or added to a refund', () => {
  const settled = settledRun('three')
  const reveal = expectAccepted(revealCodec.decode(settled.parts.output))
  const outputs = [
    NOTHING,
    revealCodec.encode({ ...reveal, text: 'another text' }),
    revealCodec.encode({ ...reveal, ids: reveal.ids.subarray(4) }),
    revealCodec.encode({ ...reveal, salt: new Uint8Array(32) }),
    revealCodec.encode({ ...reveal, nonce: new Uint8Array(16).fill(7) }),
    revealCodec.encode({ ...reveal, links: reveal.links.map((link) => ({ ...link, monoNs: link.monoNs + 1n })) }),
    settled.run.claims.get(1)?.reveal ?? NOTHING,
  ]
  for (const output of outputs)
    assert.is(whereInvalid(resealed(settled, same, EDGE, output), settled.root, 'output').slice(0, 6), 'output')
  const refunded = settledRun('rejected')
  assert.is(whereInvalid(resealed(refunded, same, EDGE, settled.parts.output), refunded.root, 'output'), 'output')
})

test('parts of another job do not fit, though each of them is genuine', () => {
  const settled = settledRun('three')
  const other = settledRun('three', { intent: { nonce: 2n } })
  assert.is(other.root, settled.root)
  const foreign = expectAccepted(receiptCodec.decode(other.parts.receipt))
  for (const part of ['intent', 'hold', 'assignment', 'execution', 'verification', 'settlement'] as const) {
    // Both jobs were held at the same place of their logs: only the intent tells their holds apart.
    if (part !== 'hold')
      whereInvalid(
        resealed(settled, (receipt) => ({ ...receipt, [part]: foreign[part] })),
        settled.root,
        part,
      )
  }
})

test.run()
