import { concatBytes, toHex } from '../../../core/codec/bytes.ts'
import { verifyReceiptFile } from '../../../core/receipt/verify.ts'
import { keyNamed } from '../../support/people.ts'
import { LIES, resealed } from '../../support/receipt-lies.ts'
import { ENDS, type End, type SettledRun, settledRun } from '../../support/settled-job.ts'
import { verdictTexts } from '../receipt-facts.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

export function receiptVectors(): VectorFile {
  return {
    name: 'receipt',
    describe:
      'Verify the file, trusting the roots. `where` names the first part that does not fit, in the order of the protocol.',
    cases: [...acceptedCases(), ...refusedCases(), ...lyingCases()],
  }
}

const NAMES: Record<End, string> = {
  one: 'one replica, paid',
  three: 'three replicas that agree, paid',
  before: 'the first of those that agree, chosen in before mode',
  lone: 'the output that the client read agrees with no other, paid',
  vectors: 'vectors of two machines that agree and of one that embedded another text, paid',
  no_workers: 'nobody accepted, refunded',
  rejected: 'the output that the client read is unsound, refunded',
  lost: 'every replica was lost, refunded',
  expired: 'the deadline passed while it ran, refunded without votes',
  expired_held: 'the deadline passed before it was assigned, refunded without votes',
}

/** The answer is what the code says now: a change of it shows in the committed file. */
function vectorOf(name: string, file: Uint8Array, roots: readonly string[]): VectorCase {
  const verdict = verifyReceiptFile(file, { roots: new Set(roots) })
  return {
    name,
    accept: verdict.status === 'valid',
    input: { file: toHex(file), roots },
    expect: verdictTexts(verdict),
  }
}

function acceptedCases(): VectorCase[] {
  return ENDS.map((end) => {
    const { file, root } = settledRun(end)
    return vectorOf(NAMES[end], file, [root])
  })
}

function refusedCases(): VectorCase[] {
  const small = settledRun('no_workers')
  const { file, root } = small
  const middle = Math.floor(file.length / 2)
  const changed = (position: number) => file.with(position, (file[position] ?? 0) ^ 1)
  const files: readonly (readonly [string, Uint8Array])[] = [
    ['an empty file', new Uint8Array()],
    ['the last byte cut off', file.subarray(0, -1)],
    ['a byte appended', concatBytes(file, Uint8Array.of(0))],
    ['a bit of the first byte', changed(0)],
    ['a bit of the envelope type', changed(5)],
    ['a bit in the middle', changed(middle)],
    ['a bit of the last byte', changed(file.length - 1)],
    ['sealed again by a stranger', resealed(small, (receipt) => receipt, keyNamed('mallory'))],
    ['an output added to a refund', resealed(small, (receipt) => receipt, undefined, settledRun('one').parts.output)],
  ]
  return [
    ...files.map(([name, bytes]) => vectorOf(name, bytes, [root])),
    vectorOf('a root that is not trusted', file, [settledRun('one', { genesis: { name: 'other' } }).root]),
    vectorOf('no root trusted', file, []),
    vectorOf('not trusted, and changed', changed(file.length - 1), []),
  ]
}

function lyingCases(): VectorCase[] {
  const settled: SettledRun = settledRun('three')
  return LIES.map(([name, change]) =>
    vectorOf(`${name}, sealed by the edge`, resealed(settled, change), [settled.root]),
  )
}
