/** The transition table: complete, or it does not compile. `stay` means that the event leaves the phase as it is. */
import type { JobEvent, Phase } from './job.ts'

export type Transition = Phase | 'stay'
type Row = Record<JobEvent['type'], Transition>

const QUIET: Row = {
  answered: 'stay',
  silent: 'stay',
  'assignment-certified': 'stay',
  'assignment-logged': 'stay',
  streaming: 'stay',
  committed: 'stay',
  lost: 'stay',
  delivered: 'stay',
  'commit-set-certified': 'stay',
  revealed: 'stay',
  audited: 'stay',
  found: 'stay',
  'results-logged': 'stay',
  disputed: 'stay',
  'settlement-certified': 'stay',
  'settlement-logged': 'settled',
  cancel: 'stay',
  stopped: 'stay',
  tick: 'stay',
}

/**
 * Where an event may take a job when its own conditions hold too (all replicas in, deadline passed). Every row may also end in
 * `failed`, the one side door; `settlement-logged` settles from anywhere, because the log has the last word. An attempt that comes to
 * nothing before the verdict may make room for the next one, which begins at the top as `admitted`.
 */
export const NEXT_PHASE: Record<Phase, Row> = {
  admitted: { ...QUIET, answered: 'proposed', silent: 'proposed', cancel: 'failed' },
  proposed: { ...QUIET, 'assignment-certified': 'assigned' },
  assigned: { ...QUIET, 'assignment-logged': 'executing' },
  executing: { ...QUIET, committed: 'committed', lost: 'committed', tick: 'committed' },
  committed: { ...QUIET, revealed: 'revealed', lost: 'revealed', tick: 'revealed' },
  revealed: { ...QUIET, audited: 'audited', found: 'verified' },
  audited: { ...QUIET, found: 'verified' },
  verified: { ...QUIET, disputed: 'disputed' },
  disputed: { ...QUIET },
  failed: { ...QUIET },
  settled: { ...QUIET, 'settlement-logged': 'stay' },
}
