/** Proof that a validator voted twice goes into the log, whoever finds it: there it costs the validator its place in draws. */

import { FabricError } from '../../core/errors.ts'
import { evidenceEntryCodec } from '../../core/log/bodies-certified.ts'
import { type Evidence, encodeEvidence } from '../../core/quorum/evidence.ts'
import type { Ledger } from '../runtime/ports.ts'

export type EvidencePorts = {
  readonly ledger: Pick<Ledger, 'append'>
  readonly misbehaved: (peer: string, reason: string) => void
  readonly fatal: (error: unknown) => void
}

/** Votes are counted again and again while a proposal is repeated: what was reported once is not reported again. */
const REPORTED_MAX = 1_024

export function evidenceReporter({ ledger, misbehaved, fatal }: EvidencePorts): (evidence: Evidence) => void {
  const reported = new Set<string>()
  return (evidence) => {
    const { voter, statement } = evidence.first
    const key = `${voter}/${statement.digest}/${evidence.second.statement.digest}`
    if (reported.has(key) || reported.size >= REPORTED_MAX) return
    reported.add(key)
    misbehaved(voter, 'vote_equivocation')
    const body = evidenceEntryCodec.encode({ evidence: encodeEvidence(evidence) })
    ledger.append('evidence', body).catch((error: unknown) => {
      // The log is away: whoever sees the two votes again reports them again.
      reported.delete(key)
      if (!(error instanceof FabricError)) fatal(error)
    })
  }
}
