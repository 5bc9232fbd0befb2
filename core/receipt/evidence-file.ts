/**
 * Evidence: what a third party needs to judge a verdict with no daemon and no network. Either one replica of a settled job with
 * everything that its finding rests on, or two signed statements that contradict each other.
 *
 * Why it has no seal of its own: every part is under somebody's signature or bound by one, so it does not matter who hands it over.
 *
 * @see docs/PROTOCOL.md#evidence-files
 */
import { type BodyOf, bytesMax, code, defineBody, digest, list, record, u8, u16 } from '../codec/schema.ts'
import { ENVELOPE_OVERHEAD_BYTES } from '../identity/envelope.ts'
import { LIMITS } from '../limits.ts'
import { replicaInputsCodec } from '../log/inputs.ts'
import { auditCodec } from '../verification/audit.ts'
import { AUDITOR_SPARES, REPORTS_MAX } from '../verification/auditing.ts'
import { commitmentCodec } from '../verification/commitment.ts'
import { policyTableCodec } from '../verification/policy-table.ts'
import { receiptFileCodec } from './receipt.ts'

const RECEIPT_FILE_BYTES_MAX = receiptFileCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES
const REPORT_BYTES_MAX = auditCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES
export const STATEMENT_BYTES_MAX = commitmentCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES

/** `audit`: two reports about one output that cannot both come from the model. */
export const CONTRADICTIONS = ['none', 'commitment', 'chunk', 'vote', 'audit'] as const
export type ContradictionKind = (typeof CONTRADICTIONS)[number]

export const evidenceFileCodec = defineBody(
  'evidence-file',
  {
    genesis: bytesMax(LIMITS.genesisBytesMax),
    /** The sealed receipt file; empty bytes for a contradiction. */
    receipt: bytesMax(RECEIPT_FILE_BYTES_MAX),
    replica: u8(),
    /** The replica's reveal body; empty bytes when it showed nothing. */
    reveal: bytesMax(LIMITS.receiptOutputBytesMax),
    /** Body `replica-inputs`: the job's words and the replica's seed; empty bytes unless their owner let them out. */
    inputs: bytesMax(replicaInputsCodec.bytesMax),
    /** What was witnessed before anybody revealed: hashes of the commitments by replica, none when nobody witnessed them. */
    commitSet: record({
      hashes: list(digest(), LIMITS.replicaCountMax),
      bitmap: u16(),
      signatures: bytesMax(LIMITS.validatorCountMax * 64),
    }),
    /** Lowest replica with the same output: the reports are about its whole class. */
    first: u8(),
    /** Envelopes `audit`, in the order of the auditors' ranks. */
    reports: list(bytesMax(REPORT_BYTES_MAX), REPORTS_MAX + AUDITOR_SPARES),
    /** Body of the policy table in force; empty bytes in shadow mode. */
    policy: bytesMax(policyTableCodec.bytesMax),
    /** Envelopes, or encoded votes. */
    contradiction: record({
      kind: code(CONTRADICTIONS),
      one: bytesMax(STATEMENT_BYTES_MAX),
      other: bytesMax(STATEMENT_BYTES_MAX),
    }),
  },
  RECEIPT_FILE_BYTES_MAX + LIMITS.receiptOutputBytesMax + replicaInputsCodec.bytesMax + 65_536,
)
export type EvidenceFile = BodyOf<typeof evidenceFileCodec>

const NOTHING = new Uint8Array()
export const NO_CONTRADICTION: EvidenceFile['contradiction'] = { kind: 'none', one: NOTHING, other: NOTHING }

/** The file of two statements that one swarm's members signed and that cannot both be true. */
export function contradictionFile(
  genesis: Uint8Array,
  kind: Exclude<ContradictionKind, 'none'>,
  one: Uint8Array,
  other: Uint8Array,
): EvidenceFile {
  return {
    ...{ genesis, receipt: NOTHING, replica: 0, reveal: NOTHING, inputs: NOTHING, first: 0, reports: [] },
    ...{ commitSet: { hashes: [], bitmap: 0, signatures: NOTHING }, policy: NOTHING },
    contradiction: { kind, one, other },
  }
}
