/** A calibration as JSON: every figure with its number of runs, and what it was measured with. */
import { toHex } from '../../core/codec/bytes.ts'
import { digestBytes } from '../../core/ids.ts'
import { policyIdOf, policyTableCodec } from '../../core/verification/policy-table.ts'
import type { CalibrateOptions, Calibration } from './calibrate.ts'

export type SummaryOptions = Omit<CalibrateOptions, 'variants'>

const US_PER_MS = 1_000

export function summaryOf(calibration: Calibration, options: SummaryOptions) {
  const { model, table, leftOut, skipped, engines, assessment, generating, auditing } = calibration
  const perToken = ({ tokens, ms }: typeof generating): number => (tokens === 0 ? 0 : (ms * US_PER_MS) / tokens)
  return {
    model: { name: model.name, digest: model.digest },
    policyId: toHex(digestBytes(policyIdOf(policyTableCodec.encode(table)))),
    ...{ options, engines, skipped, leftOut, rows: table.rows, halves: 'outputs by tens' },
    ...assessment,
    cost: {
      ...{ generating, auditing },
      microsecondsOfAGeneratedToken: perToken(generating),
      microsecondsOfAnAuditedToken: perToken(auditing),
      auditOverGeneration: perToken(auditing) / perToken(generating),
    },
  }
}
