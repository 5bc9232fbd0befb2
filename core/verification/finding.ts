/**
 * What validators say about each replica of a job: layers L0 (structure), agreement, which is L1 (exact majority) of tokens and L3
 * (cosine) of vectors, and L2 (prefill), which auditors reported.
 *
 * Why a difference is no fault: one seed gives different tokens across machines and batches, and in some jobs every replica has a seed
 * of its own. So only structure and audits fail a replica; an output that nobody else has is `inconclusive` and costs its worker nothing.
 *
 * @see docs/PROTOCOL.md#commitments-reveals-and-findings
 */
import { type BodyOf, code, defineBody, digest, i32, list, peer, text, u8, u32 } from '../codec/schema.ts'
import { type Digest, digestOf, type PeerId } from '../ids.ts'
import { REPORTS_MAX } from './auditing.ts'
import { commitmentHash } from './commitment.ts'
import { checkStructure, type Expectation, type OutputRule, type ReplicaClaim, type Structure } from './structure.ts'
import { agreements } from './vectors.ts'

export const VERDICTS = ['pass', 'suspect', 'fail', 'abstain', 'inconclusive'] as const
export type Verdict = (typeof VERDICTS)[number]

/** Bits of `methods`: which layers the verdict rests on. */
export const METHOD = { structure: 1, exact: 2, prefill: 4, semantic: 8, dispute: 16 } as const

export const findingCodec = defineBody(
  'finding',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    worker: peer(),
    /** All zero when the worker committed to nothing. */
    commitmentHash: digest(),
    /** All zero when nothing that fits the commitment was revealed. */
    tokensRoot: digest(),
    tokenCount: u32(),
    verdict: code(VERDICTS),
    methods: u8(),
    /** A StructureFault, 'audit_failed', 'audit_suspect', 'aborted', or 'none'. */
    reason: text(64),
    /** Replicas of the job that it agrees with, this one included; 0 when it failed. */
    agree: u8(),
    policyId: digest(),
    /** Of the reports about its output, whatever followed from them; all zero without any. */
    auditsHash: digest(),
    /** Of the first report, millionths of a nat: what the output says about its worker beside all others of it; 0 without any. */
    evidenceMicro: i32(),
    /** Whose reports made the verdict, and whose two of them contradict: of the first replica of a class, empty for the others. */
    auditors: list(peer(), REPORTS_MAX),
    outvoted: list(peer(), REPORTS_MAX),
    /** What three witnesses of its stream have seen, their median, in thousandths; 0 where no speed is paid for, or nobody can vouch for it. */
    tokensPerSecondMilli: u32(),
  },
  512,
)
export type Finding = BodyOf<typeof findingCodec>

export type ExactClasses = {
  /** The output that at least ceil((R + 1) / 2) of R replicas share. */
  readonly majority: string | undefined
  readonly sizes: ReadonlyMap<string, number>
}

/**
 * Groups equal outputs (L1).
 *
 * @param outputs  one key a replica, undefined for a replica without a sound output: it counts in R all the same
 */
export function exactClasses(outputs: readonly (string | undefined)[]): ExactClasses {
  const sizes = new Map<string, number>()
  for (const output of outputs) if (output !== undefined) sizes.set(output, (sizes.get(output) ?? 0) + 1)
  const needed = majorityOf(outputs.length)
  const majority = [...sizes].find(([, size]) => size >= needed)?.[0]
  return { majority, sizes }
}

function majorityOf(replicaCount: number): number {
  return Math.ceil((replicaCount + 1) / 2)
}

/** What auditors said of one replica's output. */
export type AuditOutcome = {
  /** `none`: nobody said anything, or nothing judges by it. */
  readonly verdict: 'none' | 'pass' | 'suspect' | 'fail'
  readonly auditsHash: Digest
  /** Of the first report that counts. */
  readonly evidenceMicro: number
  /** As in the finding. */
  readonly auditors: readonly PeerId[]
  readonly outvoted: readonly PeerId[]
}

export type FindingsInput = Expectation & {
  readonly policyId: Digest
  /** In replica order, one for each assigned worker. */
  readonly replicas: readonly ReplicaClaim[]
  /** In replica order: honest outputs are expected to be equal only where these are. */
  readonly seeds: readonly string[]
  /** In replica order; absent, or undefined for a replica: not audited. */
  readonly audits?: readonly (AuditOutcome | undefined)[]
  /** In replica order, thousandths of a token a second; absent: no speed is paid for. */
  readonly speeds?: readonly number[]
}

const NO_DIGEST = digestOf(new Uint8Array(32))
const UNAUDITED: AuditOutcome = {
  ...{ verdict: 'none', auditsHash: NO_DIGEST, evidenceMicro: 0 },
  ...{ auditors: [], outvoted: [] },
}

/** Gives the finding of every replica of a job; every validator that holds the same claims gives the same bytes. */
export function findingsOf(input: FindingsInput, structures = structuresOf(input)): readonly Finding[] {
  const agreeing = agreementsOf(structures, input.seeds, input.rule)
  return input.replicas.map((claim, replica) => {
    const structure = structures[replica] ?? { ok: false, reason: 'no_commitment' }
    const judgement = judge(structure, agreeing[replica] ?? 0, input.replicas.length, input.rule)
    const audit = input.audits?.[replica]
    const { verdict, ...facts } = audit ?? UNAUDITED
    const tokensPerSecondMilli = input.speeds?.[replica] ?? 0
    return { ...header(input, claim, replica), ...audited(judgement, verdict), ...facts, tokensPerSecondMilli }
  })
}

export function structuresOf(input: Expectation & Pick<FindingsInput, 'replicas'>): readonly Structure[] {
  return input.replicas.map((claim, replica) => checkStructure(claim, replica, input))
}

/** One name an output that an audit can say something about; undefined for one that is unsound or was cut short. */
export function auditableOutputs(
  structures: readonly Structure[],
  seeds: readonly string[],
): readonly (string | undefined)[] {
  return structures.map((structure, replica) =>
    structure.ok && !structure.aborted ? nameOf(structure, seeds[replica]) : undefined,
  )
}

// Ids alone would let a worker hang other text on honestly computed tokens; and under another seed the same ids have other margins.
function nameOf({ root, text }: Structure & { readonly ok: true }, seed = ''): string {
  return `${root}/${text}/${seed}`
}

/** What was computed from the model itself outweighs what others have: an output that stands alone passes, and a majority may fail. */
function audited(judgement: Judgement, verdict: AuditOutcome['verdict']): Judgement {
  if (verdict === 'none' || judgement.verdict === 'fail') return judgement
  const methods = judgement.methods | METHOD.prefill
  if (verdict === 'pass') return { ...judgement, methods, verdict: 'pass' }
  if (verdict === 'suspect') return { ...judgement, methods, verdict: 'suspect', reason: 'audit_suspect' }
  return { ...judgement, methods, verdict: 'fail', reason: 'audit_failed', agree: 0 }
}

/** With how many replicas each one agrees, itself included; 0 for a failed one. */
function agreementsOf(structures: readonly Structure[], seeds: readonly string[], rule: OutputRule): readonly number[] {
  if (rule.kind === 'tokens') {
    const outputs = structures.map((structure, replica) =>
      structure.ok ? nameOf(structure, seeds[replica]) : undefined,
    )
    const { sizes } = exactClasses(outputs)
    return outputs.map((output) => (output === undefined ? 0 : (sizes.get(output) ?? 1)))
  }
  const whole = structures.map((structure) => (structure.ok && !structure.aborted ? structure.words : undefined))
  return agreements(whole, rule)
}

function header(input: FindingsInput, { worker, commitment }: ReplicaClaim, replica: number) {
  const hash = commitment === undefined ? NO_DIGEST : commitmentHash(input.swarmId, commitment.body)
  return { jobId: input.jobId, attempt: input.attempt, replica, worker, commitmentHash: hash, policyId: input.policyId }
}

type Judgement = Pick<Finding, 'tokensRoot' | 'tokenCount' | 'verdict' | 'methods' | 'reason' | 'agree'>

function judge(structure: Structure, agree: number, replicaCount: number, rule: OutputRule): Judgement {
  if (!structure.ok) {
    const { reason } = structure
    return { tokensRoot: NO_DIGEST, tokenCount: 0, verdict: 'fail', methods: METHOD.structure, reason, agree: 0 }
  }
  // One that was stopped agrees with itself, also when it has nothing to compare.
  const found = { tokensRoot: structure.root, tokenCount: structure.words.length, agree: Math.max(agree, 1) }
  const alone = { ...found, methods: METHOD.structure }
  if (structure.aborted) return { ...alone, reason: 'aborted', verdict: 'inconclusive' }
  // Two equal samples of a sampler that nobody can replay say nothing about who computed them.
  const compared = replicaCount > 1 && (rule.kind === 'vectors' || rule.verifiable)
  if (!compared) return { ...alone, reason: 'none', verdict: 'pass' }
  const method = rule.kind === 'vectors' ? METHOD.semantic : METHOD.exact
  const verdict = agree >= majorityOf(replicaCount) ? 'pass' : 'inconclusive'
  return { ...found, reason: 'none', verdict, methods: METHOD.structure | method }
}
