/** A settled job of which referees rule on replica 0. */
import type { KeyPair } from '../../core/identity/keys.ts'
import { nodeAccount, type PeerId, userAccount } from '../../core/ids.ts'
import { DEFAULT_PRICES, replicaPrice } from '../../core/ledger/pricing.ts'
import type { Transfer } from '../../core/ledger/transfer.ts'
import type { Applied } from '../../core/log/apply.ts'
import { type Standing, standingOf } from '../../core/log/standing.ts'
import type { LoggedDispute, LoggedJob } from '../../core/log/state.ts'
import type { Finding } from '../../core/verification/finding.ts'
import { ALICE, applied, LogSwarm } from './log-swarm.ts'
import { missing } from './missing.ts'
import { digestNamed, keyNamed } from './people.ts'

const WORKER = keyNamed('w0')
export const USER = userAccount(ALICE.peer)
export const NODE = nodeAccount(WORKER.peer)
export const REFEREES = ['r0', 'r1', 'r2', 'r3', 'r4'].map((name) => keyNamed(name).peer)
export const CREDIT = 1_000_000n
/** Of `intentOfAlice` at 100 tokens. */
const SIZE = { megaParams: 3, promptTokens: 16, outputTokens: 100, factorPermille: 1_000 }
export const BASE = replicaPrice(DEFAULT_PRICES, SIZE)
export const FAILED = { verdict: 'fail', reason: 'audit_failed', methods: 7 } as const
/** Auditors that had their pay for a verdict about replica 0. */
export const AUDITORS = ['a0', 'a1'].map((name) => keyNamed(name).peer)
export const AUDITED = { auditors: AUDITORS, auditsHash: digestNamed('audits'), methods: 7 } as const

export function legsOf({ transfers }: { readonly transfers: readonly Transfer[] }) {
  return transfers.map(({ reason, debit, credit, amount }) => [reason, debit, credit, amount])
}

type Case = {
  readonly finding?: Partial<Finding>
  /** Of the answer; null for a refund. */
  readonly chosen?: number | null
  /** What the worker has beside its pay. */
  readonly savings?: bigint
}

/** A settled job of Alice with replica 0 as found. */
export function settled({ finding = {}, chosen = 1, savings = 0n }: Case = {}): { swarm: LogSwarm; job: LoggedJob } {
  const swarm = new LogSwarm()
  const judged = swarm.judged({}, [finding])
  applied(swarm.apply('settlement', swarm.settlement(judged, chosen)))
  if (savings > 0n) applied(swarm.apply('mint', swarm.mint(NODE, savings, 'savings')))
  return { swarm, job: swarm.job(judged.id) }
}

type End = Exclude<LoggedDispute['outcome'], null>

/** Opens a dispute about replica 0 and ends it. */
export function ruled(
  { swarm, job }: { readonly swarm: LogSwarm; readonly job: LoggedJob },
  opener: KeyPair,
  claim: LoggedDispute['claim'],
  end: End,
  referees: readonly PeerId[],
): Applied {
  applied(swarm.apply('dispute', swarm.dispute(job, opener, { claim })))
  return applied(swarm.apply('correction', swarm.ruling(job, end, referees)))
}

export function standing(swarm: LogSwarm, peer = WORKER.peer): Standing {
  return standingOf(swarm.state, peer) ?? missing('a standing')
}
