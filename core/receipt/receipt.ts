/**
 * The receipt of one job: assignment, execution, verification and settlement, hash-linked, in one canonical body. Nothing in it is
 * taken on trust: every byte is under a signature or follows from bytes that are (see verify.ts).
 */
import {
  type BodyOf,
  bytesMax,
  code,
  defineBody,
  digest,
  list,
  peer,
  record,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { settlementCodec } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'

const ENVELOPE_MAX = 1_024
const SIGNATURES_MAX = LIMITS.validatorCountMax * 64
/** Thirteen validators and five replicas make more than the 8 KiB of an ordinary receipt. */
const RECEIPT_BYTES_MAX = 4 * LIMITS.receiptBytesMax
/** Levels below the top of a tree of LIMITS.memberCountMax members. */
const MEMBER_PATH_MAX = 11

/** Signed by the edge when the stream ends: what reached the client, from whom, how fast, on the edge's clock. */
export const deliveryCodec = defineBody(
  'delivery',
  {
    jobId: digest(),
    attempt: u32(),
    assignmentHash: digest(),
    /** Which worker's tokens were delivered, in order; more than one when a stream moved to another replica. */
    segments: list(record({ worker: peer(), tokenStart: u32(), tokenCount: u32() }), LIMITS.segmentCountMax),
    chainHead: digest(),
    ackHead: digest(),
    ttftMs: u32(),
    tokensPerSecondMilli: u32(),
    gapP50Ms: u32(),
    gapP99Ms: u32(),
    /** Signed time stamps of third parties; empty in a local swarm. */
    witnesses: list(bytesMax(512), 5),
  },
  2_048,
)
export type Delivery = BodyOf<typeof deliveryCodec>

export const receiptCodec = defineBody(
  'receipt-body',
  {
    /** Its hash is the swarm id: the root that a verifier must trust. */
    genesis: bytesMax(LIMITS.genesisBytesMax),
    intent: bytesMax(ENVELOPE_MAX),
    /** With the intent these rebuild the hold's log entry, whose hash the draw depended on. */
    hold: record({ edge: peer(), index: u64(), previous: digest(), timeMs: u64() }),
    /** What the draw depended on; all empty in epoch 0, which the genesis holds. */
    epoch: record({
      number: u64(),
      /** Bodies of the two log entries that certify it. */
      roster: bytesMax(LIMITS.entryBytesMax),
      beacon: bytesMax(LIMITS.entryBytesMax),
      memberCount: u16(),
      /** The edge and the workers, in PeerId order, each with its way up the roster's tree. */
      members: list(
        record({
          ...{ peer: peer(), weight: u8(), roles: u8(), owner: digest(), block: u32() },
          index: u16(),
          /** 32 bytes a sibling, lowest first. */
          path: bytesMax(32 * MEMBER_PATH_MAX),
        }),
        LIMITS.replicaCountMax + 1,
      ),
    }),
    /** Empty bytes when the job failed before it was assigned. */
    assignment: record({
      body: bytesMax(ENVELOPE_MAX),
      answers: list(bytesMax(ENVELOPE_MAX), LIMITS.replicaCountMax + LIMITS.spareCountMax),
      bitmap: u16(),
      signatures: bytesMax(SIGNATURES_MAX),
    }),
    execution: record({
      /** Worker-signed commitments by replica; empty bytes for a replica that made none. */
      commitments: list(bytesMax(2_048), LIMITS.replicaCountMax),
      /** Edge-signed envelope; empty bytes when nothing was streamed. */
      delivery: bytesMax(2_048),
    }),
    verification: list(
      record({ finding: bytesMax(512), bitmap: u16(), signatures: bytesMax(SIGNATURES_MAX) }),
      LIMITS.replicaCountMax,
    ),
    settlement: record({
      body: bytesMax(settlementCodec.bytesMax),
      /** `expiry`: the log's time passed the hold's deadline without a certificate; the body then follows from the intent alone. */
      authority: code(['certificate', 'expiry']),
      bitmap: u16(),
      signatures: bytesMax(SIGNATURES_MAX),
    }),
  },
  RECEIPT_BYTES_MAX,
)
export type Receipt = BodyOf<typeof receiptCodec>

/** What is handed around, sealed as `receipt` by the edge: the receipt and, when the job was paid, the output that it commits to. */
export const receiptFileCodec = defineBody(
  'receipt',
  {
    receipt: bytesMax(RECEIPT_BYTES_MAX),
    /** The chosen replica's reveal body; empty bytes when the job was refunded. */
    output: bytesMax(LIMITS.receiptOutputBytesMax),
  },
  LIMITS.receiptOutputBytesMax + RECEIPT_BYTES_MAX + 64,
)
export type ReceiptFile = BodyOf<typeof receiptFileCodec>
