/**
 * What validators say about each replica of a job: layers L0 (structure) and L1 (exact majority of outputs).
 *
 * Why a difference is no fault: one seed gives different tokens across machines and batches, so only structure fails a replica here;
 * an output that nobody else has is `inconclusive` and costs its worker nothing.
 *
 * @see docs/PROTOCOL.md#commitments-reveals-and-findings
 */
import { idsFromBytes } from '../codec/bytes.ts'
import { type BodyOf, code, defineBody, digest, peer, text, u8, u32 } from '../codec/schema.ts'
import type { Opened } from '../identity/envelope.ts'
import { type Digest, digestOf, type PeerId, type SwarmId } from '../ids.ts'
import { type Commitment, commitmentHash, outputCommit, type Reveal, textDigest, tokensRoot } from './commitment.ts'

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
    /** A StructureFault, 'aborted', or 'none'. */
    reason: text(64),
    /** Replicas of the job with the same output, this one included; 0 when it failed. */
    agree: u8(),
    policyId: digest(),
  },
  512,
)
export type Finding = BodyOf<typeof findingCodec>

/** By precedence: the first that applies is the reason. */
export const STRUCTURE_FAULTS = [
  'no_commitment',
  'no_reveal',
  'commitment_mismatch',
  'empty',
  'too_many_tokens',
  'id_out_of_range',
  'stop_rule',
] as const
export type StructureFault = (typeof STRUCTURE_FAULTS)[number]

/** What is known of a job before its outputs are. */
export type Expectation = {
  readonly jobId: Digest
  readonly attempt: number
  readonly assignmentHash: Digest
  readonly maxTokens: number
  readonly vocabSize: number
  readonly stopIds: readonly number[]
  /** The edge asked for an early end: only then may an output be `aborted`. */
  readonly stopped: boolean
}

/** What one replica has handed in. */
export type ReplicaClaim = {
  readonly worker: PeerId
  readonly commitment: Pick<Opened<Commitment>, 'value' | 'signer' | 'body'> | undefined
  /** Needs no signature of its own: the salted commitment binds it. */
  readonly reveal: Reveal | undefined
}

export type Structure =
  | {
      readonly ok: true
      readonly root: Digest
      readonly text: Digest
      readonly tokenCount: number
      /** Stopped before its end: what there is may be paid for, but nobody vouches that it is an answer. */
      readonly aborted: boolean
    }
  | { readonly ok: false; readonly reason: StructureFault }

/** Checks one replica against the job and against itself (L0). The commitment's signature was checked when it was opened. */
export function checkStructure(claim: ReplicaClaim, replica: number, expected: Expectation): Structure {
  const { worker, commitment, reveal } = claim
  if (commitment === undefined) return fault('no_commitment')
  if (reveal === undefined) return fault('no_reveal')
  const made = commitment.value
  const placed = isPlaced(made, replica, expected) && isPlaced(reveal, replica, expected)
  if (commitment.signer !== worker || !placed || made.assignmentHash !== expected.assignmentHash)
    return fault('commitment_mismatch')
  const ids = idsFromBytes(reveal.ids)
  if (ids === undefined || ids.length !== made.tokenCount) return fault('commitment_mismatch')
  const [root, text] = [tokensRoot(ids), textDigest(reveal.text)]
  if (outputCommit(expected.jobId, replica, worker, root, text, reveal.salt) !== made.outputCommit)
    return fault('commitment_mismatch')
  const reason = tokensFault(ids, made.finishReason, expected)
  return reason === undefined
    ? { ok: true, root, text, tokenCount: ids.length, aborted: made.finishReason === 'aborted' }
    : fault(reason)
}

function fault(reason: StructureFault): Structure {
  return { ok: false, reason }
}

function isPlaced(body: Commitment | Reveal, replica: number, expected: Expectation): boolean {
  return body.jobId === expected.jobId && body.attempt === expected.attempt && body.replica === replica
}

function tokensFault(
  ids: Uint32Array,
  finish: Commitment['finishReason'],
  expected: Expectation,
): StructureFault | undefined {
  const ended = finish === 'aborted' && expected.stopped
  // Asked to stop before its first token, a worker has nothing to show and has done nothing wrong.
  if (ids.length === 0) return ended ? undefined : 'empty'
  if (ids.length > expected.maxTokens) return 'too_many_tokens'
  if (ids.some((id) => id >= expected.vocabSize)) return 'id_out_of_range'
  const stops = new Set(expected.stopIds)
  const firstStop = ids.findIndex((id) => stops.has(id))
  if (finish === 'stop') return firstStop === ids.length - 1 ? undefined : 'stop_rule'
  const whole = ended || (finish === 'length' && ids.length === expected.maxTokens)
  return whole && firstStop < 0 ? undefined : 'stop_rule'
}

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
  const needed = Math.ceil((outputs.length + 1) / 2)
  const majority = [...sizes].find(([, size]) => size >= needed)?.[0]
  return { majority, sizes }
}

export type FindingsInput = Expectation & {
  readonly swarmId: SwarmId
  readonly policyId: Digest
  /** In replica order, one for each assigned worker. */
  readonly replicas: readonly ReplicaClaim[]
}

const NO_DIGEST = digestOf(new Uint8Array(32))

/** Gives the finding of every replica of a job; every validator that holds the same claims gives the same bytes. */
export function findingsOf(input: FindingsInput): readonly Finding[] {
  const structures = input.replicas.map((claim, replica) => checkStructure(claim, replica, input))
  // Ids alone would let a worker hang other text on honestly computed tokens.
  const outputs = structures.map((structure) => (structure.ok ? `${structure.root}/${structure.text}` : undefined))
  const classes = exactClasses(outputs)
  return input.replicas.map((claim, replica) => {
    const structure = structures[replica] ?? fault('no_commitment')
    return { ...header(input, claim, replica), ...judge(structure, outputs[replica], classes, input.replicas.length) }
  })
}

function header(input: FindingsInput, { worker, commitment }: ReplicaClaim, replica: number) {
  const hash = commitment === undefined ? NO_DIGEST : commitmentHash(input.swarmId, commitment.body)
  return { jobId: input.jobId, attempt: input.attempt, replica, worker, commitmentHash: hash, policyId: input.policyId }
}

type Judgement = Pick<Finding, 'tokensRoot' | 'tokenCount' | 'verdict' | 'methods' | 'reason' | 'agree'>

function judge(
  structure: Structure,
  output: string | undefined,
  classes: ExactClasses,
  replicaCount: number,
): Judgement {
  if (!structure.ok || output === undefined) {
    const reason = structure.ok ? 'none' : structure.reason
    return { tokensRoot: NO_DIGEST, tokenCount: 0, verdict: 'fail', methods: METHOD.structure, reason, agree: 0 }
  }
  const found = {
    tokensRoot: structure.root,
    tokenCount: structure.tokenCount,
    reason: 'none',
    agree: classes.sizes.get(output) ?? 1,
  }
  if (structure.aborted) return { ...found, reason: 'aborted', verdict: 'inconclusive', methods: METHOD.structure }
  if (replicaCount === 1) return { ...found, verdict: 'pass', methods: METHOD.structure }
  const verdict = output === classes.majority ? 'pass' : 'inconclusive'
  return { ...found, verdict, methods: METHOD.structure | METHOD.exact }
}
