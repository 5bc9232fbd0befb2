/** What a coordinator sends to validators and workers: bodies over an authenticated link, so they carry no signature of their own. */
import {
  type BodyOf,
  bytes,
  bytesMax,
  code,
  defineBody,
  digest,
  list,
  record,
  text,
  u8,
  u16,
  u32,
} from '../codec/schema.ts'
import { WITNESSES_MAX } from '../latency/timeline.ts'
import { LIMITS } from '../limits.ts'
import { replicaInputsCodec } from '../log/inputs.ts'
import { REPORTS_MAX } from '../verification/auditing.ts'
import { pairCount } from '../verification/semantic.ts'

const ENVELOPE_MAX = 1_024
const TIMELINE_ENVELOPE_MAX = 512
const SIGNATURES_MAX = LIMITS.validatorCountMax * 64

/** Coordinator to a ranked peer: would you run this? The envelope lets the peer check the hold by itself. */
export const offerCodec = defineBody('offer', { intent: bytesMax(ENVELOPE_MAX), attempt: u32() }, 2_048)
export type Offer = BodyOf<typeof offerCodec>

export const assignmentProposalCodec = defineBody(
  'assignment-proposal',
  {
    assignment: bytesMax(ENVELOPE_MAX),
    answers: list(bytesMax(ENVELOPE_MAX), LIMITS.replicaCountMax + LIMITS.spareCountMax),
  },
  16_384,
)
export type AssignmentProposal = BodyOf<typeof assignmentProposalCodec>

/** Coordinator to an assigned worker: the certificate is its order to work, the inputs are what to work on. */
export const executeCodec = defineBody(
  'execute',
  {
    intent: bytesMax(ENVELOPE_MAX),
    assignment: bytesMax(ENVELOPE_MAX),
    bitmap: u16(),
    signatures: bytesMax(SIGNATURES_MAX),
    replica: u8(),
    /** Body `replica-inputs`. */
    inputs: bytesMax(replicaInputsCodec.bytesMax),
    /** 16 fresh bytes that the first chunk must echo. */
    nonce: bytesMax(16),
    /** What the client has read of an earlier attempt, little-endian u32 ids and their text: the output goes on after it. */
    prefixIds: bytesMax(LIMITS.outputIdsBytesMax),
    prefixText: text(LIMITS.outputTextBytesMax),
  },
  LIMITS.envelopeBytesMax,
)
export type Execute = BodyOf<typeof executeCodec>

/** Coordinator to a worker, once everybody has committed: empty bytes stand for a replica that did not. */
export const revealRequestCodec = defineBody(
  'reveal-request',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    commitments: list(bytesMax(8_192), LIMITS.replicaCountMax),
    /** Over the commit set: nobody can bind itself to what is revealed now. 0 and empty for a job that nobody witnesses. */
    bitmap: u16(),
    signatures: bytesMax(SIGNATURES_MAX),
  },
  65_536,
)
export type RevealRequest = BodyOf<typeof revealRequestCodec>

/** Sealed by the edge when the client wants no more: without it an unfinished output is a fault of its worker. */
export const stopCodec = defineBody('stop', { jobId: digest(), attempt: u32() }, 128)

/** Coordinator to validators, when every replica has committed or is lost: these are all. */
export const commitSetProposalCodec = defineBody(
  'commit-set-proposal',
  {
    assignment: bytesMax(ENVELOPE_MAX),
    /** In order of replica; empty bytes for one that made none. */
    commitments: list(bytesMax(8_192), LIMITS.replicaCountMax),
  },
  65_536,
)
export type CommitSetProposal = BodyOf<typeof commitSetProposalCodec>

export const findingProposalCodec = defineBody(
  'finding-proposal',
  {
    assignment: bytesMax(ENVELOPE_MAX),
    /** Of a witnessed job the very set that was certified, those of forfeited replicas included. */
    commitments: list(bytesMax(8_192), LIMITS.replicaCountMax),
    /** Over the commit set; 0 and empty for a job that nobody witnesses. */
    bitmap: u16(),
    signatures: bytesMax(SIGNATURES_MAX),
    reveals: list(bytesMax(LIMITS.receiptOutputBytesMax), LIMITS.replicaCountMax),
    /** Envelopes `audit` of each audited class that anybody reported on, named by its lowest replica. */
    audits: list(record({ first: u8(), reports: list(bytesMax(2_048), REPORTS_MAX) }), LIMITS.replicaCountMax),
    /** Envelope `stop`, empty bytes when nobody asked. */
    stop: bytesMax(512),
    /** Of all replicas, in their order: outputs from different seeds are not expected to be equal. */
    seeds: list(record({ nonce: bytes(32), salt: bytes(32) }), LIMITS.replicaCountMax),
    /** Envelopes `timeline` of each replica's witnesses; none where the intent pays nothing for speed. */
    timelines: list(
      record({ envelopes: list(bytesMax(TIMELINE_ENVELOPE_MAX), WITNESSES_MAX) }),
      LIMITS.replicaCountMax,
    ),
  },
  LIMITS.replicaCountMax * LIMITS.receiptOutputBytesMax + 65_536,
)
export type FindingProposal = BodyOf<typeof findingProposalCodec>

const PAIR_COUNT_MAX = pairCount(LIMITS.replicaCountMax)

export const REFUND_REASONS = [
  'none',
  'no_workers',
  'all_replicas_lost',
  'cancelled',
  'deadline',
  'output_rejected',
] as const

export const settlementProposalCodec = defineBody(
  'settlement-proposal',
  {
    jobId: digest(),
    attempt: u32(),
    outcome: code(['paid', 'refunded']),
    reason: text(LIMITS.reasonBytesMax),
    /** Replica index, 255 for none. */
    chosen: u8(),
    /** The outputs again: in `before` mode a validator repeats the choice. */
    reveals: list(bytesMax(LIMITS.receiptOutputBytesMax), LIMITS.replicaCountMax),
    /** Permille of the pairs of texts, by an encoder whose word a validator compares with its own; empty: by tokens alone. */
    cosines: list(u16(), PAIR_COUNT_MAX),
  },
  LIMITS.replicaCountMax * LIMITS.receiptOutputBytesMax + 65_536,
)
export type SettlementProposal = BodyOf<typeof settlementProposalCodec>

/** A token and how likely it was: what a worker says of its own choice, and nobody checks. */
const chance = {
  id: u32(),
  text: text(LIMITS.tokenTextBytesMax),
  /** Natural logarithm, a big-endian float64: no float is part of the encoding. */
  logprob: bytes(8),
}

/** Frames of an execution stream, worker to coordinator. */
export const workFrameCodec = defineBody(
  'work-frame',
  {
    kind: code(['tokens', 'chunk', 'commitment', 'failed']),
    /** `tokens`: little-endian u32 ids. */
    ids: bytesMax(4 * 4_096),
    text: text(65_536),
    /** `chunk`, `commitment`: an envelope. `failed`: empty, the code is in `text`. */
    envelope: bytesMax(8_192),
    /** `tokens`: one for each id when the client asked for them, else none. */
    details: list(record({ ...chance, top: list(record(chance), LIMITS.topLogprobsCountMax) }), LIMITS.detailCountMax),
  },
  131_072,
)
export type WorkFrame = BodyOf<typeof workFrameCodec>

/** Frames of an execution stream, coordinator to worker. */
export const steerFrameCodec = defineBody(
  'steer-frame',
  { kind: code(['ack', 'stop']), envelope: bytesMax(1_024) },
  2_048,
)
export type SteerFrame = BodyOf<typeof steerFrameCodec>

/** Validators answer a proposal with the votes that they cast: fixed-layout bytes each. */
export const votesCodec = defineBody('votes', { votes: list(bytesMax(512), LIMITS.replicaCountMax) }, 8_192)
