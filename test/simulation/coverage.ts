/** Counts what a run went through: a fault that never happened proves nothing about how it is borne. */

export type Counts = Readonly<Record<string, number>>

export class Coverage {
  readonly #counts = new Map<string, number>()

  count(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by)
  }

  add(counts: Counts): void {
    for (const [name, by] of Object.entries(counts)) this.count(name, by)
  }

  counts(): Counts {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}

/** In a long enough run each of these happens, or the run has not tried what it says it tries. */
export const MUST_HAPPEN = [
  'message dropped',
  'message duplicated',
  'message delayed',
  'message lost in a partition',
  'partition',
  'partition with the log',
  'partition healed',
  'one-way cut',
  'clock moves',
  'log clock moves',
  'disk stalls',
  'crash',
  'write lost by a crash',
  'write kept by a crash, never acknowledged',
  'crash at vote-begun',
  'crash at vote-stored',
  'crash at vote-sent',
  'crash at claim-stored',
  'crash at journal-begun',
  'restart',
  'restart in admitted',
  'restart in proposed',
  'restart in assigned',
  'restart in executing',
  'restart in committed',
  'restart in revealed',
  'restart in verified',
  'restart in failed',
  'equivocation',
  'equivocation seen in a tally',
  'entry: evidence',
  'vote forged',
  'forged vote refused',
  'refused vote/assignment: already_voted',
  'refused vote/settlement: already_voted',
  'job driven by two edges',
  'refused job/offer: not_its_edge',
  'refused vote/settlement: not_its_edge',
  'dispute',
  'phase: audited',
  'output ended early',
  'output ended at a stop string',
  'finding of diverging: inconclusive, none',
  'finding of sloppy: fail, vector_not_unit',
  'finding of lazy: fail, empty',
  'settled: chat, paid',
  'settled: completion, paid',
  'settled: embedding, paid',
  'settled: embedding, refunded',
  'settled: unverifiable, paid',
  'client: one intent to both edges',
  'client: intent sent again',
  'client: nonce used for other content',
  'log refused hold: nonce_used',
  'log refused hold: job_exists',
  'log refused hold: insufficient_credit',
  'log refused hold: budget_exceeded',
  'log refused hold: intent_expired',
  'log refused mint: idempotency_repeat',
  'log refused mint: idempotency_conflict',
  'log proposal repeated',
  'settled: paid, paid',
  'settled: refunded, no_workers',
  'settled: refunded, all_replicas_lost',
  'settled: refunded, output_rejected',
  'settled: refunded, deadline',
  'settled: refunded, cancelled',
  'refund by a validator: the edge was gone',
  'receipt: paid',
  'receipt: refunded',
  'changed receipt refused',
] as const

export function missing(counts: Counts): readonly string[] {
  return MUST_HAPPEN.filter((name) => counts[name] === undefined)
}
