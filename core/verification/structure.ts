/** Layer L0: whether one replica's output fits the job and its own commitment. Only this fails a worker. */
import { idsFromBytes } from '../codec/bytes.ts'
import type { Opened } from '../identity/envelope.ts'
import type { Digest, PeerId, SwarmId } from '../ids.ts'
import { chainHeadOf } from '../latency/links.ts'
import { type Commitment, outputCommit, type Reveal, textDigest, tokensRoot } from './commitment.ts'
import { VECTOR_FAULTS, vectorFault } from './vectors.ts'

/** By precedence: the first that applies is the reason. */
export const STRUCTURE_FAULTS = [
  'no_commitment',
  'no_reveal',
  'commitment_mismatch',
  'chain_mismatch',
  'empty',
  'too_many_tokens',
  'id_out_of_range',
  'stop_rule',
  ...VECTOR_FAULTS,
] as const
export type StructureFault = (typeof STRUCTURE_FAULTS)[number]

/** What an output must look like: ids of a vocabulary, or unit vectors, one for each text. */
export type OutputRule =
  | {
      readonly kind: 'tokens'
      readonly maxTokens: number
      readonly vocabSize: number
      readonly stopIds: readonly number[]
      readonly stop: readonly string[]
      /** Another machine can replay the choice of tokens, so that equal outputs mean something. */
      readonly verifiable: boolean
    }
  | { readonly kind: 'vectors'; readonly count: number; readonly dimensions: number }
type TokensRule = Extract<OutputRule, { kind: 'tokens' }>

/** What is known of a job before its outputs are. */
export type Expectation = {
  readonly swarmId: SwarmId
  /** Whom the worker streamed to. */
  readonly edge: PeerId
  readonly jobId: Digest
  readonly attempt: number
  readonly assignmentHash: Digest
  readonly rule: OutputRule
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
      /** Token ids, or the bits of the vectors. */
      readonly words: Uint32Array
      /** Stopped before its end: what there is may be paid for, but nobody vouches that it is an answer. */
      readonly aborted: boolean
      /** Its latency chain was shown, and each header of it names these very words. */
      readonly isChained: boolean
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
  const words = idsFromBytes(reveal.ids)
  if (words === undefined || words.length !== made.tokenCount) return fault('commitment_mismatch')
  const [root, text] = [tokensRoot(words), textDigest(reveal.text)]
  if (outputCommit(expected.jobId, replica, worker, root, text, reveal.salt) !== made.outputCommit)
    return fault('commitment_mismatch')
  const chained = chainShown({ worker, made, reveal }, words, expected)
  if (chained === 'other') return fault('chain_mismatch')
  const reason = outputFault(words, reveal.text, made.finishReason, expected)
  return reason === undefined
    ? { ok: true, root, text, words, aborted: made.finishReason === 'aborted', isChained: chained === 'same' }
    : fault(reason)
}

function fault(reason: StructureFault): Structure {
  return { ok: false, reason }
}

function isPlaced(body: Commitment | Reveal, replica: number, expected: Expectation): boolean {
  return body.jobId === expected.jobId && body.attempt === expected.attempt && body.replica === replica
}

/**
 * Whether the chain that was shown is the one that was committed to. Nothing need be shown; then nothing can be said about its speed.
 *
 * Why another one fails its worker: headers that name other tokens than the output has were signed before there were any.
 */
export function chainShown(
  { worker, made, reveal }: { readonly worker: PeerId; readonly made: Commitment; readonly reveal: Reveal },
  words: Uint32Array,
  { swarmId, edge: receiver }: Pick<Expectation, 'swarmId' | 'edge'>,
): 'nothing' | 'same' | 'other' {
  const { jobId, attempt, replica, chainHead, chunkCount } = made
  // Nothing has one form: bytes that nobody is bound to could else be anything.
  if (reveal.links.length === 0) return reveal.nonce.every((byte) => byte === 0) ? 'nothing' : 'other'
  const head = chainHeadOf({ swarmId, jobId, attempt, replica, worker, receiver }, words, reveal)
  return head === chainHead && reveal.links.length === chunkCount ? 'same' : 'other'
}

function outputFault(
  words: Uint32Array,
  text: string,
  finish: Commitment['finishReason'],
  { rule, stopped }: Expectation,
): StructureFault | undefined {
  const ended = finish === 'aborted' && stopped
  // Asked to stop before its first token, a worker has nothing to show and has done nothing wrong.
  if (words.length === 0 && ended) return undefined
  if (words.length === 0) return 'empty'
  if (rule.kind === 'tokens') return tokensFault(words, text, finish, ended, rule)
  // Vectors come all at once: an early end leaves none of them, and nothing else is said.
  if (finish !== 'stop' || text !== '') return 'vector_shape'
  return vectorFault(words, rule)
}

function tokensFault(
  ids: Uint32Array,
  text: string,
  finish: Commitment['finishReason'],
  ended: boolean,
  { maxTokens, vocabSize, stopIds, stop }: TokensRule,
): StructureFault | undefined {
  if (ids.length > maxTokens) return 'too_many_tokens'
  if (ids.some((id) => id >= vocabSize)) return 'id_out_of_range'
  const stops = new Set(stopIds)
  const firstStop = ids.findIndex((id) => stops.has(id))
  // Whoever goes on behind a stop string is paid for tokens that nobody asked for.
  const said = stop.some((ending) => text.includes(ending))
  if (finish === 'stop') return (said ? firstStop < 0 : firstStop === ids.length - 1) ? undefined : 'stop_rule'
  const whole = ended || (finish === 'length' && ids.length === maxTokens)
  return whole && firstStop < 0 && !said ? undefined : 'stop_rule'
}
