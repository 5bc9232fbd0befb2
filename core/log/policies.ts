/** Tables of audit thresholds as the log has them: one in force for a model, and those that jobs were held under. */
import { openAs } from '../identity/envelope.ts'
import type { Digest } from '../ids.ts'
import { ZERO_DIGEST } from '../ledger/settlement.ts'
import { isTable, type PolicyTable, policyIdOf, policyTableCodec } from '../verification/policy-table.ts'
import { isMintKey } from './authority.ts'
import { type Handler, without } from './effects.ts'
import { refuse, refuseInvalid } from './refusal.ts'
import type { LoggedJob, LogState } from './state.ts'

/** Makes a table count for the jobs of its model that are held from here on. */
export const applyPolicy: Handler = (state, entry) => {
  const opened = openAs(policyTableCodec, entry.body, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value: table, body, signer } = opened.value
  if (!isMintKey(state, signer)) return refuse('authority_missing')
  if (!isTable(table)) return refuse('body_malformed')
  const id = policyIdOf(body)
  if (policyIdFor(state, table.model) === id) return refuse('policy_repeated')
  state.policies.set(modelKey(table.model), { id, body })
  state.policies.set(idKey(id), { id, body })
  return without()
}

/** The table in force for a model; 32 zero bytes when there is none: its audits judge nobody. */
export function policyIdFor(state: Pick<LogState, 'policies'>, model: Digest): Digest {
  return state.policies.get(modelKey(model))?.id ?? ZERO_DIGEST
}

/** The table that a job was held under. @returns undefined when its model had none (shadow mode) */
export function policyOf(state: LogState, { policyId }: Pick<LoggedJob, 'policyId'>): PolicyTable | undefined {
  const policy = policyId === ZERO_DIGEST ? undefined : state.policies.get(idKey(policyId))
  const decoded = policyTableCodec.decode(policy?.body ?? new Uint8Array())
  return decoded.action === 'accept' ? decoded.value : undefined
}

/** Why twice: jobs that were held under an older table are still judged by it. */
function modelKey(model: Digest): string {
  return `model/${model}`
}

function idKey(id: Digest): string {
  return `id/${id}`
}
