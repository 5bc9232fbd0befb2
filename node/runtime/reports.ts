/** What an auditor reported of an output, as callers see it. */
import type { PeerId } from '../../core/ids.ts'

export type ReportView = {
  /** The lowest of the replicas with this output. */
  readonly replica: number
  readonly auditor: PeerId
  /** `abstain` where the log had no thresholds for it. */
  readonly verdict: string
  readonly positions: number
  /** Millionths of a nat. */
  readonly meanMicro: number
  readonly worstMicro: number
  readonly replayMs: number
}
