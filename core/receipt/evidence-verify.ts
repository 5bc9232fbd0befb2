/**
 * Checks an evidence file, each claim by itself: what the signatures bear out, what follows from them, and, for whoever has the model,
 * what that says. Nothing here asks a clock, a network or a disk.
 *
 * @see docs/PROTOCOL.md#evidence-files
 */
import type { Digest } from '../ids.ts'
import { parseGenesis } from '../log/genesis.ts'
import { createState } from '../log/state.ts'
import type { Validation } from '../validation.ts'
import type { Finding } from '../verification/finding.ts'
import { checkAudits } from './evidence-audits.ts'
import { type EvidenceCheck, failed, openCase, passed, unchecked } from './evidence-case.ts'
import { checkContradiction } from './evidence-contradiction.ts'
import { type EvidenceFile, evidenceFileCodec } from './evidence-file.ts'
import { checkOutput, checkReplay, checkStructureClaim, type Replay } from './evidence-output.ts'
import type { ReceiptTrust } from './verify.ts'

/** `holds`: nothing contradicts it. `false_accusation`: the model does not bear it out. `invalid`: the file is not what was signed. */
export type EvidenceStatus = 'holds' | 'false_accusation' | 'invalid' | 'unknown_root'
export type EvidenceReport = {
  readonly status: EvidenceStatus
  readonly checks: readonly EvidenceCheck[]
  readonly accused: Accused | undefined
}

/** What the file is about, as far as it could be read. */
export type Accused = {
  readonly jobId: Digest
  readonly replica: number
  readonly finding: Finding
}

/** @param bytes  untrusted; the whole file */
export function openEvidenceFile(bytes: Uint8Array): Validation<EvidenceFile> {
  return evidenceFileCodec.decode(bytes)
}

/**
 * Checks everything that can be checked.
 *
 * @param replay  what the model says of the output; undefined without the model, or without the job's words
 */
export function checkEvidenceFile(file: EvidenceFile, trust: ReceiptTrust, replay: Replay | undefined): EvidenceReport {
  return file.contradiction.kind === 'none' ? checkVerdict(file, trust, replay) : checkStatements(file, trust)
}

function checkStatements(file: EvidenceFile, trust: ReceiptTrust): EvidenceReport {
  const genesis = parseGenesis(file.genesis)
  if (genesis.action !== 'accept') return reportOf([failed('genesis', whereOf(genesis, 'it is not one'))], undefined)
  const found = checkContradiction(createState(genesis.value), file.contradiction)
  const check =
    found.action === 'accept'
      ? passed('contradiction', `${found.value.signers.join(' and ')} ${found.value.what}`)
      : failed('contradiction', whereOf(found, 'the statements do not contradict each other'))
  return reportOf([rootCheck(genesis.value.swarmId, trust), check], undefined)
}

function checkVerdict(file: EvidenceFile, trust: ReceiptTrust, replay: Replay | undefined): EvidenceReport {
  const opened = openCase(file, trust)
  if (opened.action !== 'accept') {
    const where = opened.action === 'reject' ? (opened.where ?? 'file') : 'file'
    const [name = 'file', ...rest] = where.split(': ')
    return reportOf([failed(name, rest.join(': ') || 'it is not what was signed')], undefined)
  }
  const { facts, finding } = opened.value
  const { verdict, reason, worker } = finding
  const checks = [
    rootCheck(facts.swarmId, trust),
    passed('receipt', `assignment, commitments, findings and settlement of job ${facts.jobId.slice(0, 12)}`),
    passed('finding', `replica ${file.replica} by ${worker}: ${verdict}${reason === 'none' ? '' : ` (${reason})`}`),
    checkOutput(opened.value),
    checkStructureClaim(opened.value, replay?.facts),
    ...checkAudits(opened.value, trust),
    ...checkReplay(opened.value, replay),
  ]
  return reportOf(checks, { jobId: facts.jobId, replica: file.replica, finding })
}

function rootCheck(swarm: Digest, { roots }: ReceiptTrust): EvidenceCheck {
  return roots.has(swarm)
    ? passed('root', `swarm ${swarm.slice(0, 12)} is trusted`)
    : unchecked('root', `nothing says that swarm ${swarm} is one you trust`)
}

/** Checks that ask the model: when one of them alone fails, the file is what was signed, and what was signed is wrong. */
const MODEL_CHECKS: ReadonlySet<string> = new Set(['replay', 'replay probes'])

function reportOf(checks: readonly EvidenceCheck[], accused: Accused | undefined): EvidenceReport {
  const wrong = checks.filter(({ status }) => status === 'failed')
  const untrusted = checks.some(({ name, status }) => name === 'root' && status === 'not_checked')
  const status =
    wrong.length === 0
      ? untrusted
        ? 'unknown_root'
        : 'holds'
      : wrong.every(({ name }) => MODEL_CHECKS.has(name))
        ? 'false_accusation'
        : 'invalid'
  return { status, checks, accused }
}

function whereOf(validation: Validation<unknown>, otherwise: string): string {
  return validation.action === 'reject' ? (validation.where ?? validation.reason) : otherwise
}
