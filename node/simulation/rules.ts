/** The parts of core that a simulation runs and its checkers watch: a test puts a broken one in their place and must see it found. */
import type { KeyPair } from '../../core/identity/keys.ts'
import type { SwarmId } from '../../core/ids.ts'
import { judgeFindings } from '../../core/job/judge.ts'
import { applyEntry } from '../../core/log/apply.ts'
import { castVote, type Statement, type Vote } from '../../core/quorum/vote.ts'

export type Rules = {
  readonly applyEntry: typeof applyEntry
  readonly judgeFindings: typeof judgeFindings
  /** What an honest validator sends for a statement that it agrees with. */
  readonly cast: (swarmId: SwarmId, statement: Statement, key: KeyPair) => readonly Vote[]
}

export const CORE_RULES: Rules = {
  applyEntry,
  judgeFindings,
  cast: (swarmId, statement, key) => [castVote(swarmId, statement, key)],
}
