/** Evidence files of jobs of real models: what holds, what was edited, and what accuses somebody falsely. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { ClassAudit } from '../../core/job/job.ts'
import { contradictionFile, type EvidenceFile, evidenceFileCodec } from '../../core/receipt/evidence-file.ts'
import { checkEvidenceFile } from '../../core/receipt/evidence-verify.ts'
import { type AuditReport, auditCodec } from '../../core/verification/audit.ts'
import { commitmentCodec } from '../../core/verification/commitment.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { fileDigest } from '../../models/model-file.ts'
import { exportEvidence } from '../../node/jobs/evidence-export.ts'
import type { NodeModel } from '../../node/jobs/model.ts'
import { runCommand } from '../support/cli.ts'
import { closeHosts } from '../support/host.ts'
import { expectAccepted, secretOf } from '../support/job-run.ts'
import { missing } from '../support/missing.ts'
import { bound } from '../support/panels.ts'
import { loadedModel, REAL_PAYLOAD, RealRun } from '../support/real-job.ts'
import { jobInputs } from '../support/seeds.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const SMALL = join(CFAB_TINY.path, '..', 'cfab-tiny-small-f16.gguf')
const LIMIT_MS = 120_000
const folder = tempFolder()
let tiny: NodeModel
let small: NodeModel
let guilty: Exported
let innocent: Exported

type Change = NonNullable<Parameters<RealRun['report']>[2]>
type Exported = { readonly run: RealRun; readonly file: Uint8Array; readonly audits: readonly ClassAudit[] }

/** One replica, computed by this model, and three reports; `change` is what liars report in place of what they found, `lazyAt` one that has not looked. */
async function exported(model: NodeModel, change: Change = {}, withPrompt = true, lazyAt?: number): Promise<Exported> {
  const run = await RealRun.start(tiny)
  await run.compute([model])
  const [task = missing()] = run.tasks
  const said: Uint8Array[] = []
  for (const auditor of task.auditors.slice(0, 3)) said.push(await run.report(task, auditor, change))
  const lies = said.map((report, place) => (lazyAt === place ? unseen(run, report) : report))
  const reports = bound(run.swarm.state.swarmId, lies)
  const audits = [{ first: 0, reports }]
  const { job, receipt } = run.conclude(audits)
  const store = { receipt: () => receipt, payload: () => jobInputs(REAL_PAYLOAD, run.seeds) }
  return { run, audits, file: exportEvidence(job, { store, state: run.swarm.state }, undefined, withPrompt) }
}

/** The same report by an auditor that has not looked: nothing found, and gaps that it made up. */
function unseen({ swarm }: RealRun, report: Uint8Array): Uint8Array {
  const { swarmId } = swarm.state
  const { value, signer } = expectAccepted(openAs(auditCodec, report, swarmId))
  const probes = value.probes.map((probe) => ({ ...probe, gap256: 9_000 }))
  const nothing = { meanMicro: 0, overCount: 0, worstMicro: 0, outsideCount: 0, stopMicro: 0, worst: [] }
  return sealAs(auditCodec, { ...value, ...nothing, probes, verdict: 'pass' }, swarmId, secretOf(signer))
}

async function verify(bytes: Uint8Array, ...flags: readonly string[]) {
  const path = join(folder, `${Math.random()}.cfab-evidence`)
  writeFileSync(path, bytes)
  return runCommand(['evidence', 'verify', path, '--home', folder, ...flags], { cwd: folder })
}

const rootOf = ({ run }: Exported): readonly string[] => ['--root', run.swarm.state.swarmId]
const MODEL = ['--model', CFAB_TINY.path]

function line(out: string, name: string): string {
  return out.split('\n').find((text) => text.startsWith(`${name}  `)) ?? ''
}

/** Figures that fit each other, and no output. */
const INVENTED: Partial<AuditReport> = {
  ...{ verdict: 'fail', worstMicro: 6_000_000, meanMicro: 900_000, overCount: 16 },
  worst: Array.from({ length: 16 }, (_, position) => ({ position, margin256: 1_536, claimed: 1, best: 2 })),
}

test.before(
  within(LIMIT_MS, async () => {
    tiny = await loadedModel()
    small = await loadedModel(SMALL, await fileDigest(SMALL))
    guilty = await exported(small)
    innocent = await exported(tiny, INVENTED)
  }),
)
test.after(closeHosts)

test(
  'a worker that ran the smaller sibling: every check holds, with the model and without',
  within(LIMIT_MS, async () => {
    const alone = await verify(guilty.file, ...rootOf(guilty))
    assert.is(alone.status, 0, alone.out + alone.err)
    assert.match(line(alone.out, 'finding'), /fail \(audit_failed\)/)
    assert.match(line(alone.out, 'replay'), /not checked .*needs --model/)
    const asked = await verify(guilty.file, ...rootOf(guilty), ...MODEL)
    assert.is(asked.status, 0, asked.out + asked.err)
    for (const name of [
      'root',
      'receipt',
      'reveal',
      'structure',
      'commit set',
      'auditors',
      'policy',
      'verdict',
      'probes',
      'payload',
    ])
      assert.match(line(asked.out, name), / ok /, name)
    assert.match(line(asked.out, 'replay'), / ok .*: fail, as 3 of 3 reports say/)
    assert.match(line(asked.out, 'replay probes'), / ok .*3 of 3 reports/)
  }),
)

test(
  'three auditors who accuse an honest worker together: the signatures hold, and the model says that it is false',
  within(LIMIT_MS, async () => {
    assert.is((await verify(innocent.file, ...rootOf(innocent))).status, 0)
    const asked = await verify(innocent.file, ...rootOf(innocent), ...MODEL)
    assert.is(asked.status, 4, asked.out + asked.err)
    assert.match(line(asked.out, 'replay'), /FAILED .*does not bear the accusation out/)
    assert.match(asked.out, /^false: /m)
  }),
)

test('a swarm that the reader does not trust is said to be unknown', async () => {
  assert.is((await verify(guilty.file)).status, 3)
})

const EDITS: readonly (readonly [string, string, (file: EvidenceFile) => Partial<EvidenceFile>])[] = [
  ['receipt', 'receipt', ({ receipt }) => ({ receipt: flipped(receipt, 700) })],
  ['another output', 'reveal', ({ reveal }) => ({ reveal: flipped(reveal, reveal.length - 5) })],
  ['a report less', 'audits', ({ reports }) => ({ reports: reports.slice(1) })],
  [
    'a report changed',
    'audits',
    ({ reports }) => ({ reports: [flipped(reports[0] ?? missing(), 90), ...reports.slice(1)] }),
  ],
  ['another table', 'policy', ({ policy }) => ({ policy: flipped(policy, policy.length - 1) })],
  ['no table', 'policy', () => ({ policy: new Uint8Array() })],
  ['another prompt', 'payload', ({ inputs }) => ({ inputs: flipped(inputs, inputs.length - 1) })],
  ['other commitments', 'commit set', ({ commitSet }) => ({ commitSet: { ...commitSet, hashes: [] } })],
  [
    'another certificate',
    'commit set',
    ({ commitSet }) => ({ commitSet: { ...commitSet, signatures: flipped(commitSet.signatures, 3) } }),
  ],
  ['a replica that there is not', 'finding', () => ({ replica: 3 })],
]

for (const [what, check, edit] of EDITS)
  test(`an edited file fails at the check that is about it: ${what}`, () => {
    const decoded = evidenceFileCodec.decode(guilty.file)
    if (decoded.action !== 'accept') throw new Error('an exported file decodes')
    const edited = { ...decoded.value, ...edit(decoded.value) }
    const trust = { roots: new Set([guilty.run.swarm.state.swarmId]) }
    const { status, checks } = checkEvidenceFile(edited, trust, undefined)
    assert.is(status, 'invalid')
    assert.ok(
      checks.some(({ name, status: found }) => name === check && found === 'failed'),
      JSON.stringify(checks),
    )
  })

test('bytes that are no evidence file are refused by their code', async () => {
  const { status, err } = await verify(guilty.file.subarray(0, 500))
  assert.is(status, 65)
  assert.match(err, /CF_JOB_EVIDENCE_INVALID/)
  const missingFile = await runCommand(['evidence', 'show', 'nothing-here', '--home', folder], { cwd: folder })
  assert.is(missingFile.status, 66)
})

test(
  'without the prompt nobody can ask the model, and the file says so',
  within(LIMIT_MS, async () => {
    const { run, file } = await exported(small, {}, false)
    const asked = await verify(file, '--root', run.swarm.state.swarmId, ...MODEL)
    assert.is(asked.status, 0, asked.out)
    assert.match(line(asked.out, 'payload'), /not checked/)
    assert.match(line(asked.out, 'replay'), /needs the prompt/)
  }),
)

test(
  'another model file than the one of the job is not asked',
  within(LIMIT_MS, async () => {
    const asked = await verify(guilty.file, ...rootOf(guilty), '--model', SMALL)
    assert.is(asked.status, 0, asked.out)
    assert.match(asked.err, /the job's model is/)
  }),
)

test('two commitments of one worker for one place contradict each other; two of different places do not', async () => {
  const { run } = guilty
  const { genesis, swarmId } = run.swarm.state
  const key = secretOf(run.workers[0])
  const value = { jobId: run.id, attempt: 0, replica: 0, assignmentHash: run.id, outputCommit: run.id, tokenCount: 3 }
  const whole = {
    ...value,
    finishReason: 'stop',
    chunkCount: 1,
    chainHead: run.id,
    schedule: [4],
    engineId: 'x',
  } as const
  const one = sealAs(commitmentCodec, whole, swarmId, key)
  const other = sealAs(commitmentCodec, { ...whole, tokenCount: 4 }, swarmId, key)
  const elsewhere = sealAs(commitmentCodec, { ...whole, replica: 1 }, swarmId, key)
  const saved = (second: Uint8Array) =>
    evidenceFileCodec.encode(contradictionFile(genesis.bytes, 'commitment', one, second))
  for (const [name, bytes] of [
    ['genesis', genesis.bytes],
    ['one', one],
    ['other', other],
  ] as const)
    writeFileSync(join(folder, name), bytes)
  const pair = ['evidence', 'pair', 'one', 'other', '--kind', 'commitment', '--genesis', 'genesis', '-o', 'pair']
  assert.is((await runCommand(pair, { cwd: folder })).status, 0)
  assert.equal(Uint8Array.from(readFileSync(join(folder, 'pair'))), saved(other))
  const found = await verify(saved(other), '--root', swarmId)
  assert.is(found.status, 0, found.out)
  assert.match(found.out, new RegExp(`contradiction +ok +${key.peer}`))
  assert.is((await verify(saved(elsewhere), '--root', swarmId)).status, 65)
  assert.is((await verify(saved(one), '--root', swarmId)).status, 65)
})

test(
  'one of three auditors that made up its logits: the finding names it, and the file holds without it',
  within(LIMIT_MS, async () => {
    const { run, file, audits } = await exported(small, {}, true, 1)
    const [task = missing()] = run.tasks
    const [finding = missing()] = run.swarm.job(run.id).findings
    assert.equal([finding.verdict, finding.outvoted], ['fail', task.auditors.slice(1, 2)])
    assert.equal(finding.auditors, [task.auditors[0], task.auditors[2]])
    const checked = await verify(file, '--root', run.swarm.state.swarmId)
    assert.is(checked.status, 0, checked.out + checked.err)
    assert.match(line(checked.out, 'probes'), / ok .*2 auditors show the same logits, 1 outvoted/)
    assert.match(line(checked.out, 'verdict'), / ok .*fail, pass, fail: together fail/)
    assert.is(audits[0]?.reports.length, 3)
  }),
)

test('two reports that show other logits for one output contradict each other', async () => {
  const { run, audits } = guilty
  const [task = missing()] = run.tasks
  const [one = missing()] = audits[0]?.reports ?? []
  const guessed = Array.from({ length: 16 }, (_, position) => ({ position, topId: 1, gap256: 9_000, claimedGap256: 0 }))
  const lazy = await run.report(task, task.auditors[1] ?? missing(), { probes: guessed })
  const { genesis, swarmId } = run.swarm.state
  const saved = (second: Uint8Array) => evidenceFileCodec.encode(contradictionFile(genesis.bytes, 'audit', one, second))
  assert.is((await verify(saved(lazy), '--root', swarmId)).status, 0)
  assert.is((await verify(saved(audits[0]?.reports[1] ?? missing()), '--root', swarmId)).status, 65)
})

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, place) => (place === at ? byte ^ 1 : byte))
}

test.run()
