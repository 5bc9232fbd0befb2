import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AuditedPosition,
  type AuditReport,
  auditCodec,
  probePositions,
  probesOf,
  statisticsOf,
} from '../../../../core/verification/audit.ts'
import { isReportOf } from '../../../../core/verification/report.ts'
import { digestNamed, jobNamed, keyNamed } from '../../../support/people.ts'
import { type SeededRandom, seededRandom, testSeed } from '../../../support/seeded-random.ts'

const BEACON = digestNamed('beacon')
const ROUNDS = 400

/** Most margins of honest and of cheating outputs are 0; among the others are those at the ends of roundings and bins. */
const MARGINS = [1e-9, 0.001, 0.001_953, 0.001_954, 0.299_999_9, 0.3, 0.300_000_1, 2.999_999_9, 3, 7.999_999_9, 8]

function marginOf(random: SeededRandom): number {
  const lot = random.below(10)
  if (lot < 6) return 0
  return lot < 8 ? (MARGINS[random.below(MARGINS.length)] ?? 0) : random.below(8_000_000) / 1e6
}

function reportOf(positions: readonly AuditedPosition[], verdict: AuditReport['verdict'] = 'pass'): AuditReport {
  const claimed = positions.map(({ topIds }) => topIds[0] ?? 0)
  const asked = probePositions(BEACON, 1, positions.length)
  return {
    ...{ jobId: jobNamed('job'), attempt: 0, replica: 1, worker: keyNamed('w1').peer, engineId: 'engine' },
    ...{ commitmentHash: digestNamed('commitment'), policyId: digestNamed('policy') },
    ...{ ...statisticsOf(positions, claimed), probes: probesOf(positions, asked, claimed) },
    ...{ verdict, replayMs: 1, textDigest: digestNamed('text') },
    ...{ salt: new Uint8Array(32), others: [] },
  }
}

function output(random: SeededRandom): readonly AuditedPosition[] {
  const only = random.below(3) === 0 ? marginOf(random) : undefined
  return Array.from({ length: 1 + random.below(300) }, () => ({
    ...{ margin: only ?? marginOf(random), rank: 0, topIds: [5, 6], topLogits: [2, 1] },
  }))
}

test('whatever an auditor finds, its report fits itself, and through its encoding', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < ROUNDS; round += 1) {
    const report = reportOf(output(random))
    assert.ok(isReportOf(report, report.positions, BEACON), JSON.stringify(report))
    const decoded = auditCodec.decode(auditCodec.encode(report))
    assert.ok(decoded.action === 'accept' && isReportOf(decoded.value, report.positions, BEACON))
  }
})

test('a report of another length, for another beacon or with one of its lists changed does not fit', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < ROUNDS; round += 1) {
    const report = reportOf(output(random))
    const { positions, worst, probes } = report
    const fits = (parts: Partial<AuditReport>, tokenCount = positions) =>
      isReportOf({ ...report, ...parts }, tokenCount, BEACON)
    assert.not.ok(fits({}, positions + 1))
    assert.not.ok(fits({ probes: probes.slice(1) }))
    assert.not.ok(fits({ worst: [...worst, ...worst.slice(-1)] }) && worst.length > 0)
    assert.not.ok(fits({ worst: worst.toReversed() }) && worst.length > 1)
    if (positions > 16) assert.not.ok(isReportOf(report, positions, digestNamed('another beacon')))
  }
})

test('an abstention says nothing that could be wrong, and an empty output has no report', () => {
  assert.ok(isReportOf({ ...reportOf([]), verdict: 'abstain' }, 5, BEACON))
  assert.not.ok(isReportOf(reportOf([]), 0, BEACON))
})

test.run()
