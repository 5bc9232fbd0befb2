/**
 * Bodies that a quorum certificate or the fact itself authorises. The certified statement is rebuilt from the log's state and these
 * fields, so nothing is in the log twice and a certificate never vouches for itself.
 */
import {
  type BodyOf,
  bytesMax,
  code,
  defineBody,
  digest,
  flag,
  i64,
  list,
  peer,
  record,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { OUTCOMES } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'
import { DISPUTE_OUTCOMES, REFEREE_LIMITS } from '../verification/dispute.ts'

const BODY_BYTES_MAX = LIMITS.entryBytesMax
const certificate = { bitmap: u16(), signatures: bytesMax(LIMITS.validatorCountMax * 64) }

/** The assignment body that was voted on follows from this and the state: epoch, roster root, beacon and hold hash are the log's. */
export const assignmentEntryCodec = defineBody(
  'assignment-entry',
  {
    jobId: digest(),
    attempt: u32(),
    workers: list(peer(), LIMITS.replicaCountMax),
    answersDigest: digest(),
    commitByMs: u64(),
    revealByMs: u64(),
    overlapping: flag(),
    ...certificate,
  },
  BODY_BYTES_MAX,
)
export type AssignmentEntry = BodyOf<typeof assignmentEntryCodec>

/** One replica's certified finding. */
export const resultEntryCodec = defineBody('result-entry', { finding: bytesMax(512), ...certificate }, BODY_BYTES_MAX)
export type ResultEntry = BodyOf<typeof resultEntryCodec>

/** The settlement body that was voted on follows from this and the state; its digest must be the certificate's. */
export const settlementEntryCodec = defineBody(
  'settlement-entry',
  {
    jobId: digest(),
    attempt: u32(),
    outcome: code(OUTCOMES),
    reason: text(64),
    /** 255 for none. */
    chosen: u8(),
    /** `expiry`: a refund after the hold's deadline, which needs no votes. */
    authority: code(['certificate', 'expiry']),
    ...certificate,
  },
  BODY_BYTES_MAX,
)
export type SettlementEntry = BodyOf<typeof settlementEntryCodec>

/** Names an account in 36 bytes instead of 60: for the platform and the mint the key is empty. */
const accountRef = record({ kind: code(['user', 'node', 'platform', 'mint']), key: bytesMax(32) })

/** What validators vote on to put a settled job right: new, linked transfers; the wrong ones stay in the history. */
export const correctionCodec = defineBody(
  'correction',
  {
    jobId: digest(),
    /** How many corrections the job has had before. */
    number: u16(),
    reason: text(64),
    /** Empty when it rules on a dispute: what that moves follows from the log, like a settlement. */
    legs: list(record({ from: accountRef, to: accountRef, amount: i64() }), 8),
    /** Hash of the entry of the dispute that it rules on; 32 zero bytes for none. */
    dispute: digest(),
    outcome: code(['none', ...DISPUTE_OUTCOMES]),
    /** Those that voted for the outcome: they share a slash. */
    referees: list(peer(), REFEREE_LIMITS.countMax),
  },
  900,
)
export type Correction = BodyOf<typeof correctionCodec>
export type AccountRef = Correction['legs'][number]['from']

export const correctionEntryCodec = defineBody(
  'correction-entry',
  { correction: bytesMax(900), attempt: u32(), ...certificate },
  BODY_BYTES_MAX,
)
export type CorrectionEntry = BodyOf<typeof correctionEntryCodec>

/** Two votes by one validator on one subject: it proves itself. */
export const evidenceEntryCodec = defineBody('evidence-entry', { evidence: bytesMax(600) }, BODY_BYTES_MAX)

/** The roster of the next epoch; it takes effect with that epoch's beacon, which nobody knows yet when the roster is fixed. */
export const rosterEntryCodec = defineBody(
  'roster-entry',
  {
    epoch: u64(),
    root: digest(),
    /** Digest of the commitments to the beacon, in validator order. */
    commits: digest(),
    attempt: u32(),
    ...certificate,
  },
  BODY_BYTES_MAX,
)

/** The beacon of the next epoch: starts it. */
export const beaconEntryCodec = defineBody(
  'beacon-entry',
  {
    epoch: u64(),
    beacon: digest(),
    /** Bit i: the set's key i committed and did not reveal. */
    forfeits: u16(),
    attempt: u32(),
    ...certificate,
  },
  BODY_BYTES_MAX,
)

/** Changes the validator set, as a difference: thirteen keys and nine signatures would not fit an entry. */
export const validatorSetEntryCodec = defineBody(
  'validator-set-entry',
  {
    /** The number of the new set: one above the current one. */
    epoch: u64(),
    /** Bit i takes the current set's key i out. */
    removed: u16(),
    /** Appended after the keys that stay, in this order. */
    added: list(peer(), 6),
    attempt: u32(),
    ...certificate,
  },
  BODY_BYTES_MAX,
)

/** Vouches for the state after the entry with this index, so that the entries before may be trimmed. */
export const snapshotEntryCodec = defineBody(
  'snapshot-entry',
  { index: u64(), digest: digest(), attempt: u32(), ...certificate },
  BODY_BYTES_MAX,
)
