import type { VectorFile } from '../vector.ts'
import { assignmentVectors } from './assignment.ts'
import { canonicalVectors } from './canonical.ts'
import { certificateVectors } from './certificate.ts'
import { disputeVectors } from './dispute.ts'
import { entryVectors } from './entry.ts'
import { envelopeVectors } from './envelope.ts'
import { epochVectors } from './epoch.ts'
import { genesisVectors } from './genesis.ts'
import { gumbelVectors } from './gumbel.ts'
import { holdVectors } from './hold.ts'
import { inputsVectors } from './inputs.ts'
import { intentVectors } from './intent.ts'
import { keyVectors } from './keys.ts'
import { latencyVectors } from './latency.ts'
import { memberVectors } from './member.ts'
import { payloadVectors } from './payload.ts'
import { receiptVectors } from './receipt.ts'
import { rendezvousVectors } from './rendezvous.ts'
import { sealedBoxVectors } from './sealed-box.ts'
import { settlementVectors } from './settlement.ts'
import { voteVectors } from './vote.ts'

/** Every vector file, as the code makes it now. */
export function allVectors(): readonly VectorFile[] {
  return [
    canonicalVectors(),
    keyVectors(),
    envelopeVectors(),
    sealedBoxVectors(),
    rendezvousVectors(),
    gumbelVectors(),
    voteVectors(),
    certificateVectors(),
    latencyVectors(),
    genesisVectors(),
    epochVectors(),
    memberVectors(),
    entryVectors(),
    holdVectors(),
    settlementVectors(),
    disputeVectors(),
    intentVectors(),
    payloadVectors(),
    inputsVectors(),
    assignmentVectors(),
    receiptVectors(),
  ]
}
