/** Ends the disputes of this node's own keys that nobody has brought to a ruling: their bonds would be held for ever. */
import { FabricError } from '../../core/errors.ts'
import { type AccountId, type JobId, nodeAccount, type PeerId, parseJobId, userAccount } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { correctionCodec, correctionEntryCodec } from '../../core/log/bodies-certified.ts'
import { expiredRuling } from '../../core/log/ruling.ts'
import type { LoggedDispute, LoggedJob, LogState } from '../../core/log/state.ts'
import type { Clock, Ledger, Store } from '../runtime/ports.ts'

export type ExpiryPorts = {
  readonly state: () => LogState
  readonly ledger: Ledger
  /** Its history says which bonds were paid, also before a restart. */
  readonly store: Pick<Store, 'transfers'>
  readonly clock: Clock
  /** Whose disputes are looked after. */
  readonly openers: readonly PeerId[]
}

/** Newest transfers of each account that are looked through. */
const TRANSFERS_MAX = 500
const UNSIGNED = { attempt: 0, bitmap: 0, signatures: new Uint8Array() } as const

/** Looks every so often until the signal aborts. @throws what is no FabricError: a bug */
export async function endExpiredDisputes(ports: ExpiryPorts, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await endExpired(ports).catch((error: unknown) => {
      // No way to the log now: the next look tries again.
      if (!(error instanceof FabricError)) throw error
    })
    await ports.clock.sleep(everyMs, signal).catch(() => {})
  }
}

/** @returns how many were ended */
export async function endExpired(ports: ExpiryPorts): Promise<number> {
  let ended = 0
  for (const id of bondedJobs(ports)) {
    const job = ports.state().jobs.get(id)
    const due = job?.disputes.find((dispute) => isDue(ports, dispute))
    if (job === undefined || due === undefined) continue
    // A ruling that is logged at the same time comes first or makes this one a refusal.
    const result = await ports.ledger.append('correction', endOf(job, due))
    if (result.status === 'applied') ended += 1
  }
  return ended
}

function bondedJobs({ store, openers }: ExpiryPorts): ReadonlySet<JobId> {
  const accounts = openers.flatMap((opener): AccountId[] => [userAccount(opener), nodeAccount(opener)])
  const rows = accounts.flatMap((account) => store.transfers({ account, limit: TRANSFERS_MAX }))
  return new Set(rows.flatMap(({ kind, jobId }) => (kind === 'bond' ? (parseJobId(jobId) ?? []) : [])))
}

function isDue({ clock, openers }: ExpiryPorts, { outcome, opener, openedMs }: LoggedDispute): boolean {
  if (outcome !== null || !openers.includes(opener)) return false
  return BigInt(clock.nowMs()) >= openedMs + BigInt(LIMITS.disputeRulingMs)
}

function endOf(job: LoggedJob, dispute: LoggedDispute): Uint8Array {
  return correctionEntryCodec.encode({ correction: correctionCodec.encode(expiredRuling(job, dispute)), ...UNSIGNED })
}
