/** The settlement that follows from the log's state: what validators vote on and what `applyEntry` computes again. */
import { invariant } from '../invariant.ts'
import { expirySettlement, type Settled, type SettlementBody, settle } from '../ledger/settlement.ts'
import { assuranceOf } from '../verification/policy.ts'
import { isVerifiable } from '../verification/replayable.ts'
import { type Intent, intentCodec } from './intent.ts'
import { ownerOf } from './standing.ts'
import type { LoggedJob, LogState } from './state.ts'

/**
 * Shares out a job's hold by its logged findings and the genesis prices.
 *
 * @param chosen  index of the replica whose output is the answer, null to refund
 * @param reason  of a refund; a payment's is always `paid`
 */
export function settlementOf(state: LogState, job: LoggedJob, chosen: number | null, reason: string): Settled {
  const { swarmId, genesis, validators } = state
  const { id: jobId, attempt, workers, assignmentHash, findings, holdMs } = job
  const owners = workers.map((worker) => ownerOf(state, worker))
  const intent = intentOf(job)
  // Two replicas that agree make nothing of a third one's output: what they found counts only for an answer that is theirs.
  const agreed = findings.some(({ replica, verdict }) => replica === chosen && verdict === 'pass') ? findings : []
  const claim = { verifiable: isVerifiable(intent.sampling), local: genesis.local, findings: agreed, owners }
  const assurance = chosen === null ? assuranceOfRefund(state) : assuranceOf(claim)
  return settle({
    ...{ swarmId, prices: genesis.prices, intent, validators: validators.keys, jobId, attempt, workers },
    ...{ assignmentHash, findings, chosen, reason, assurance, holdMs },
  })
}

/** The refund of a job whose deadline has passed: it follows from the intent alone. */
export function expiryOf(state: LogState, job: LoggedJob): SettlementBody {
  const { swarmId, genesis } = state
  return expirySettlement({
    swarmId,
    prices: genesis.prices,
    intent: intentOf(job),
    jobId: job.id,
    assurance: assuranceOfRefund(state),
  })
}

/** A refund claims nothing about an output. */
function assuranceOfRefund({ genesis }: LogState): 'local' | 'unaudited' {
  return genesis.local ? 'local' : 'unaudited'
}

/** The intent of a logged job; its bytes were checked when the hold was applied. */
export function intentOf(job: LoggedJob): Intent {
  const decoded = intentCodec.decode(job.intentBody)
  invariant(decoded.action === 'accept', 'a logged intent decodes')
  return decoded.value
}
