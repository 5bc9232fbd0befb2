import * as assert from 'uvu/assert'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import { listOf } from './fields.ts'
import { verdictTexts } from './receipt-facts.ts'
import { bytesOf, type VectorCase } from './vector.ts'

export const file = 'receipt.json'

export function check(vector: VectorCase): void {
  const roots = new Set(listOf(vector.input, 'roots').map(String))
  const verdict = verifyReceiptFile(bytesOf(vector.input, 'file'), { roots })
  assert.is(verdict.status === 'valid', vector.accept)
  assert.equal(verdictTexts(verdict), vector.expect)
}
