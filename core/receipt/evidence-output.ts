/** The output of an accused replica: whether it is the one that was committed to, what fails it by itself, and what the model says. */
import { openReplicaInputs } from '../log/inputs.ts'
import type { Intent } from '../log/intent.ts'
import {
  type AuditedPosition,
  type AuditStatistics,
  probePositions,
  probesAgree,
  probesOf,
  statisticsOf,
} from '../verification/audit.ts'
import { outputCommit, textDigest, tokensRoot } from '../verification/commitment.ts'
import { isWithinBand } from '../verification/dispute.ts'
import { policyTableCodec, verdictOf } from '../verification/policy-table.ts'
import { isAuditable, isVerifiable } from '../verification/replayable.ts'
import {
  chainShown,
  checkStructure,
  type OutputRule,
  STRUCTURE_FAULTS,
  type StructureFault,
} from '../verification/structure.ts'
import { beaconOf, bodyOfReport } from './evidence-audits.ts'
import { type Case, type EvidenceCheck, failed, passed, unchecked } from './evidence-case.ts'

/** What a model says of itself, and of an output. */
export type Replay = {
  readonly engineId: string
  readonly facts: { readonly vocabSize: number; readonly stopIds: readonly number[]; readonly dimensions: number }
  /** One for each output id. */
  readonly positions: readonly AuditedPosition[]
}

/** Whether the reveal is what the commitment binds. */
export function checkOutput({ file, finding, commitment, reveal, ids, facts }: Case): EvidenceCheck {
  const name = 'reveal'
  if (file.reveal.length === 0) return unchecked(name, 'the file shows no output of this replica')
  if (commitment === undefined || reveal === undefined || ids === undefined)
    return failed(name, 'it is none, or nothing was committed to')
  const root = tokensRoot(ids)
  const bound = outputCommit(facts.jobId, file.replica, finding.worker, root, textDigest(reveal.text), reveal.salt)
  const isPlaced = reveal.jobId === facts.jobId && reveal.replica === file.replica
  // An output that is not the committed one may be exactly what the finding says.
  if (!isPlaced || bound !== commitment.outputCommit || ids.length !== commitment.tokenCount)
    return finding.reason === 'commitment_mismatch'
      ? passed(name, 'it is not what was committed to, as the finding says')
      : failed(name, 'it is not what the worker committed to')
  const isChained = chainShown({ worker: finding.worker, made: commitment, reveal }, ids, facts) !== 'other'
  if (isChained === (finding.reason === 'chain_mismatch'))
    return failed(
      name,
      `the finding says ${finding.reason}, and the chain ${isChained ? 'is' : 'is not'} the committed one`,
    )
  const isFinding = finding.verdict === 'fail' && finding.reason !== 'audit_failed' ? true : finding.tokensRoot === root
  return isFinding
    ? passed(name, `${ids.length} tokens, bound by the worker's commitment`)
    : failed(name, 'the finding is about another output')
}

/** Faults that show without knowing the model. */
const MODEL_FREE: ReadonlySet<string> = new Set([
  'no_commitment',
  'commitment_mismatch',
  'chain_mismatch',
  'empty',
  'too_many_tokens',
  'vector_shape',
  'vector_not_finite',
  'vector_not_unit',
])

/** Repeats layer L0 where the finding rests on it. */
export function checkStructureClaim(found: Case, facts: Replay['facts'] | undefined): EvidenceCheck {
  const name = 'structure'
  const { finding, commitment, reveal, file, commitmentBodies } = found
  const claimed = STRUCTURE_FAULTS.find((fault) => fault === finding.reason)
  if (claimed === 'no_reveal') return unchecked(name, 'that nothing was revealed is the word of the quorum')
  if (facts === undefined && claimed !== undefined && !MODEL_FREE.has(claimed))
    return unchecked(name, 'needs --model: vocabulary and stop tokens are the model’s')
  const body = commitmentBodies[file.replica]
  const made =
    commitment === undefined || body === undefined ? undefined : { value: commitment, signer: finding.worker, body }
  const structure = checkStructure({ worker: finding.worker, commitment: made, reveal }, file.replica, {
    ...{ swarmId: found.facts.swarmId, edge: found.facts.edge, jobId: found.facts.jobId },
    ...{ attempt: finding.attempt, stopped: finding.reason === 'aborted' },
    assignmentHash: found.facts.assignment?.hash ?? finding.commitmentHash,
    rule: ruleOf(found.facts.intent, found.ids?.length ?? 0, facts),
  })
  return structureCheck(name, claimed, structure.ok ? undefined : structure.reason, facts !== undefined)
}

function structureCheck(
  name: string,
  claimed: StructureFault | undefined,
  fault: StructureFault | undefined,
  isWhole: boolean,
): EvidenceCheck {
  if (fault === claimed)
    return claimed === undefined
      ? passed(name, isWhole ? 'the output is sound in itself' : 'sound as far as that shows without the model')
      : passed(name, `the output has the fault that the finding names: ${claimed}`)
  // Where an output may stop is the model's to say.
  if (claimed === undefined && !isWhole && fault !== undefined && !MODEL_FREE.has(fault))
    return unchecked(name, 'needs --model: vocabulary and stop tokens are the model’s')
  return failed(name, `the finding says ${claimed ?? 'none'}, the output ${fault ?? 'has no fault'}`)
}

const ANY_VOCABULARY = 0xffff_ffff

/** Without the model's facts every id is one of its, and none ends an output: `stop` is not asked about then. */
function ruleOf(intent: Intent, wordCount: number, facts: Replay['facts'] | undefined): OutputRule {
  const { task, maxTokens, stop, sampling } = intent
  if (task === 'embedding')
    return { kind: 'vectors', count: maxTokens, dimensions: facts?.dimensions ?? wordCount / maxTokens }
  const { vocabSize, stopIds } = facts ?? { vocabSize: ANY_VOCABULARY, stopIds: [] }
  return { kind: 'tokens', maxTokens, vocabSize, stopIds, stop, verifiable: isVerifiable(sampling) }
}

/** Whether the words are the job's, and whether the model bears the finding out. */
export function checkReplay(found: Case, replay: Replay | undefined): readonly EvidenceCheck[] {
  const { file, facts, ids } = found
  const payload =
    file.inputs.length === 0
      ? unchecked('payload', 'the prompt is not in the file: its owner did not let it out')
      : openReplicaInputs(facts.intent, file.replica, file.inputs).action === 'accept'
        ? passed('payload', 'the prompt and seed that the intent commits to')
        : failed('payload', 'not what the intent commits to')
  if (!isAuditable(facts.intent)) return [payload, unchecked('replay', 'nobody can replay what this job sampled')]
  if (replay === undefined || ids === undefined)
    return [payload, unchecked('replay', file.inputs.length === 0 ? 'needs the prompt' : 'needs --model')]
  const statistics = statisticsOf(replay.positions, ids)
  return [payload, replayCheck(found, statistics, replay), probesCheck(found, ids, replay)]
}

const MICRO = 1_000_000

/** Own figures against the table, and against those of the reports. */
function replayCheck(found: Case, statistics: AuditStatistics, { engineId }: Replay): EvidenceCheck {
  const name = 'replay'
  const { file, finding, commitment, facts } = found
  const own = figures(statistics)
  const table = policyTableCodec.decode(file.policy)
  const audited = {
    ...{ proverEngine: commitment?.engineId ?? '', verifierEngine: engineId },
    temperatureMilli: facts.intent.sampling.temperatureMilli,
  }
  const verdict = table.action === 'accept' ? verdictOf(table.value, statistics, audited) : 'abstain'
  const reports = file.reports.flatMap((envelope) => bodyOfReport(envelope, facts.swarmId) ?? [])
  const apart = reports.filter(
    ({ verdict: said, meanMicro }) => said !== 'abstain' && !isWithinBand(meanMicro, statistics.meanMicro),
  )
  const isAccused = finding.reason === 'audit_failed' || finding.reason === 'audit_suspect'
  if (isAccused && verdict === 'pass')
    return failed(name, `the model does not bear the accusation out: ${own}, which passes`)
  if (finding.verdict === 'pass' && verdict === 'fail')
    return failed(name, `the output passed, and the model fails it: ${own}`)
  if (isAccused && verdict === 'abstain' && apart.length * 2 > reports.length)
    return failed(
      name,
      `the model does not bear the reports out: ${own}, ${apart.length} of ${reports.length} reports say otherwise`,
    )
  const agree = reports.length === 0 ? '' : `, as ${reports.length - apart.length} of ${reports.length} reports say`
  return passed(name, `${own}${verdict === 'abstain' ? '' : `: ${verdict}`}${agree}`)
}

function figures({ positions, meanMicro, worstMicro, outsideCount }: AuditStatistics): string {
  const nats = (micro: number): string => (micro / MICRO).toFixed(4)
  return `${positions} positions, mean ${nats(meanMicro)} and worst ${nats(worstMicro)} nats, ${outsideCount} impossible`
}

/** Whether the reports show this model's logits where nobody knew that they would have to. */
function probesCheck(found: Case, ids: Uint32Array, replay: Replay): EvidenceCheck {
  const name = 'replay probes'
  const { file, facts } = found
  const reports = file.reports.flatMap((envelope) => bodyOfReport(envelope, facts.swarmId) ?? [])
  const shown = reports.filter(({ verdict }) => verdict !== 'abstain')
  if (shown.length === 0) return unchecked(name, 'no report shows any')
  const own = probesOf(replay.positions, probePositions(beaconOf(found), file.first, replay.positions.length), ids)
  const strangers = shown.filter(({ probes }) => !probesAgree(own, probes))
  return strangers.length === 0
    ? passed(name, `${shown.length} of ${shown.length} reports show this model's logits`)
    : failed(name, `${strangers.length} of ${shown.length} reports do not show this model's logits`)
}
