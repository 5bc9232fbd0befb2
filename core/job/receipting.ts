/** Makes the receipt of a settled job, from what its phases left behind. */
import { FIRST_EPOCH } from '../receipt/epoch.ts'
import { type Receipt, receiptCodec } from '../receipt/receipt.ts'
import type { Replica, SettledJob } from './job.ts'

const NOTHING = new Uint8Array()
const NO_CERTIFICATE = { bitmap: 0, signatures: NOTHING }

/**
 * @param genesis  body bytes of the swarm's genesis
 * @param epoch    the part of the job's epoch, for jobs of a later one
 */
export function receiptOf(job: SettledJob, genesis: Uint8Array, epoch: Receipt['epoch'] = FIRST_EPOCH): Uint8Array {
  const { certificate } = job.settlement
  const receipt: Receipt = {
    genesis,
    intent: job.intentEnvelope,
    hold: { edge: job.hold.edge, index: job.hold.index, previous: job.hold.previous, timeMs: job.hold.timeMs },
    epoch,
    assignment: assignmentPart(job),
    execution: {
      // What was witnessed counts, also of a replica that never revealed it.
      commitments: job.commitSet?.commitments ?? job.replicas.map(commitmentOf),
      delivery: job.delivery,
    },
    verification: job.findings.map(({ body, certificate: signed }) => ({ finding: body, ...signed })),
    settlement: {
      body: job.settlement.body,
      authority: certificate === null ? 'expiry' : 'certificate',
      ...(certificate ?? NO_CERTIFICATE),
    },
  }
  return receiptCodec.encode(receipt)
}

/** The output that a receipt commits to: the chosen replica's reveal, nothing for a refund. */
export function outputOf(job: SettledJob): Uint8Array {
  const chosen = job.chosen === null ? undefined : job.replicas[job.chosen]
  return chosen?.state === 'revealed' ? chosen.reveal : NOTHING
}

function assignmentPart(job: SettledJob): Receipt['assignment'] {
  if (job.certificate === null) return { body: NOTHING, answers: [], ...NO_CERTIFICATE }
  const answers = job.answers.map(({ envelope }) => envelope).filter((envelope) => envelope.length > 0)
  return { body: job.assignment, answers, ...job.certificate }
}

function commitmentOf(replica: Replica): Uint8Array {
  return 'commitment' in replica ? replica.commitment : NOTHING
}
