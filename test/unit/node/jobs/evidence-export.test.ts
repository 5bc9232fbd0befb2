import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkEvidenceFile, openEvidenceFile } from '../../../../core/receipt/evidence-verify.ts'
import { exportEvidence } from '../../../../node/jobs/evidence-export.ts'
import { expectAccepted } from '../../../support/job-run.ts'
import { settledRun } from '../../../support/settled-job.ts'

test('an honest output that ends with a stop token is not called unsound by a reader who has no model', () => {
  const { run, job, file, root } = settledRun('three')
  const kept = { state: run.swarm.state, store: { receipt: () => file, payload: () => undefined } }
  const evidence = expectAccepted(openEvidenceFile(exportEvidence(job, kept, undefined, false)))
  const { status, checks } = checkEvidenceFile(evidence, { roots: new Set([root]) }, undefined)
  const structure = checks.find(({ name }) => name === 'structure')
  assert.is(structure?.status, 'not_checked')
  assert.match(structure?.detail ?? '', 'needs --model')
  assert.is.not(status, 'invalid')
})

test.run()
