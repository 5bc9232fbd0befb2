/** What two implementations must agree on about a receipt, as JSON. */
import { toHex } from '../../core/codec/bytes.ts'
import type { ReceiptFacts, ReceiptVerdict } from '../../core/receipt/verify.ts'
import type { Texts } from './vector.ts'

export function verdictTexts(verdict: ReceiptVerdict): Texts {
  if (verdict.status === 'invalid') return { status: verdict.status, where: verdict.where, reason: verdict.reason }
  return { status: verdict.status, ...factTexts(verdict.facts) }
}

function factTexts(facts: ReceiptFacts): Texts {
  const { settlement, assignment, findings, output, delivery } = facts
  const { outcome, reason, assurance, cost, refund, legs } = settlement
  return {
    swarmId: facts.swarmId,
    jobId: facts.jobId,
    user: facts.user,
    edge: facts.edge,
    workers: assignment?.workers ?? [],
    answers: assignment?.ranked.map(({ answer }) => answer) ?? [],
    verdicts: findings.map(({ verdict }) => verdict),
    settlement: { outcome, reason, assurance, cost: `${cost}`, refund: `${refund}` },
    legs: legs.map(({ kind, node, amount }) => ({ kind, node, amount: `${amount}` })),
    authority: facts.authority,
    text: output?.text ?? null,
    ids: output === undefined ? null : toHex(output.ids),
    ttftMs: delivery?.ttftMs ?? null,
  }
}
