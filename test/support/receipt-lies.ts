/** What a lying edge might put into a receipt: each change is sealed again with the edge's own good key. */
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { invariant } from '../../core/invariant.ts'
import { CHOSEN_NONE, settlementCodec } from '../../core/ledger/settlement.ts'
import { type Receipt, receiptCodec, receiptFileCodec } from '../../core/receipt/receipt.ts'
import { EDGE, expectAccepted, OTHER_EDGE } from './job-run.ts'
import type { SettledRun } from './settled-job.ts'

const NOTHING = new Uint8Array()

/** The file sealed anew after a change: what somebody with a key, and without the others' keys, can make. */
export function resealed(
  settled: SettledRun,
  change: (receipt: Receipt) => Receipt,
  key: KeyPair = EDGE,
  output = settled.parts.output,
): Uint8Array {
  const receipt = expectAccepted(receiptCodec.decode(settled.parts.receipt))
  return sealAs(receiptFileCodec, { receipt: receiptCodec.encode(change(receipt)), output }, settled.root, key)
}

export type Lie = readonly [name: string, change: (receipt: Receipt) => Receipt, where: string]

const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, -64)
function first({ verification: [finding] }: Receipt): Receipt['verification'][number] {
  invariant(finding !== undefined, 'the receipt has a finding')
  return finding
}
const withFirst = (receipt: Receipt, part: Partial<Receipt['verification'][number]>): Receipt => ({
  ...receipt,
  verification: receipt.verification.with(0, { ...first(receipt), ...part }),
})
const settlementWith = (receipt: Receipt, parts: Partial<ReturnType<typeof bodyOf>>): Receipt => ({
  ...receipt,
  settlement: { ...receipt.settlement, body: settlementCodec.encode({ ...bodyOf(receipt), ...parts }) },
})
const bodyOf = (receipt: Receipt) => expectAccepted(settlementCodec.decode(receipt.settlement.body))

/** About the receipt of a job with three replicas that agree; `where` is what the verifier names. */
export const LIES: readonly Lie[] = [
  ['another hold time', (r) => ({ ...r, hold: { ...r.hold, timeMs: r.hold.timeMs + 1n } }), 'hold'],
  ['another hold index', (r) => ({ ...r, hold: { ...r.hold, index: r.hold.index + 1n } }), 'hold'],
  ['another edge', (r) => ({ ...r, hold: { ...r.hold, edge: OTHER_EDGE.peer } }), 'hold'],
  ['no answers', (r) => ({ ...r, assignment: { ...r.assignment, answers: [] } }), 'assignment.answers'],
  [
    'a signature less on the assignment',
    (r) => ({ ...r, assignment: { ...r.assignment, signatures: cut(r.assignment.signatures) } }),
    'assignment.certificate',
  ],
  [
    'other signers of the assignment',
    (r) => ({ ...r, assignment: { ...r.assignment, bitmap: 14 } }),
    'assignment.certificate',
  ],
  [
    'no assignment',
    (r) => ({ ...r, assignment: { body: NOTHING, answers: [], bitmap: 0, signatures: NOTHING } }),
    'execution.commitments',
  ],
  ['half an assignment', (r) => ({ ...r, assignment: { ...r.assignment, body: NOTHING } }), 'assignment'],
  [
    'swapped commitments',
    (r) => ({ ...r, execution: { ...r.execution, commitments: r.execution.commitments.toReversed() } }),
    'execution.commitments[0]',
  ],
  [
    'a commitment too many',
    (r) => ({ ...r, execution: { ...r.execution, commitments: [...r.execution.commitments, NOTHING] } }),
    'execution.commitments',
  ],
  ['swapped findings', (r) => ({ ...r, verification: r.verification.toReversed() }), 'verification[0].finding'],
  ['a finding less', (r) => ({ ...r, verification: r.verification.slice(0, 2) }), 'settlement.body'],
  ['a finding too many', (r) => ({ ...r, verification: [...r.verification, first(r)] }), 'verification'],
  [
    'a signature less on a finding',
    (r) => withFirst(r, { signatures: cut(first(r).signatures) }),
    'verification[0].certificate: signatures',
  ],
  [
    'a minority under a finding',
    (r) => withFirst(r, { bitmap: 3, signatures: cut(first(r).signatures) }),
    'verification[0].certificate: bitmap',
  ],
  [
    'a lower cost',
    (r) => settlementWith(r, { cost: bodyOf(r).cost - 1n, refund: bodyOf(r).refund + 1n }),
    'settlement.body',
  ],
  ['a leg less', (r) => settlementWith(r, { legs: bodyOf(r).legs.slice(1) }), 'settlement.body'],
  [
    'a leg to somebody else',
    (r) => settlementWith(r, { legs: bodyOf(r).legs.map((leg) => ({ ...leg, node: EDGE.peer })) }),
    'settlement.body',
  ],
  ['a better assurance', (r) => settlementWith(r, { assurance: 'audited' }), 'settlement.body'],
  ['another choice', (r) => settlementWith(r, { chosen: 1 }), 'settlement.certificate: signatures[0]'],
  ['a refund instead', (r) => settlementWith(r, { chosen: CHOSEN_NONE, outcome: 'refunded' }), 'settlement.body'],
  ['no choice', (r) => settlementWith(r, { chosen: 9 }), 'settlement.body'],
  [
    'a minority under the settlement',
    (r) => ({ ...r, settlement: { ...r.settlement, bitmap: 3, signatures: cut(r.settlement.signatures) } }),
    'settlement.certificate: bitmap',
  ],
  [
    'an expiry with the body of a payment',
    (r) => ({ ...r, settlement: { ...r.settlement, authority: 'expiry', bitmap: 0, signatures: NOTHING } }),
    'settlement',
  ],
]
