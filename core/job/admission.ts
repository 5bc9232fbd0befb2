/** From an accepted hold to a job: the draw is fixed here, from the hold's hash and the certified roster. */
import type { JobId, UserId } from '../ids.ts'
import { rankedFor } from '../log/draw.ts'
import { epochOfJob } from '../log/epochs.ts'
import type { Intent } from '../log/intent.ts'
import type { LogState } from '../log/state.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { isAuditable } from '../verification/replayable.ts'
import type { AdmittedJob, HoldRecord } from './job.ts'

export type AdmissionInput = {
  readonly id: JobId
  readonly user: UserId
  readonly intent: Intent
  readonly intentEnvelope: Uint8Array
  readonly hold: HoldRecord
  readonly state: LogState
  readonly roster: RosterSnapshot
}

export function admitJob(input: AdmissionInput): AdmittedJob {
  const { id, user, intent, intentEnvelope, hold, state, roster } = input
  const { genesis } = state
  const { policy } = genesis
  const logged = state.jobs.get(id)
  // Rows are made before the log has the hold: until then the epoch of the job is the current one.
  const { epoch, beacon } = logged === undefined ? state : epochOfJob(state, logged)
  return {
    phase: 'admitted',
    ...{ id, swarmId: state.swarmId, user, intent, intentEnvelope, hold },
    draw: {
      ...{ epoch, rosterRoot: roster.root, beacon },
      ranked: rankedFor({ genesis, beacon }, roster, intent, hold.hash),
    },
    attempt: 0,
    timing: {
      // On one machine there is nobody else to draw.
      attemptsMax: genesis.local ? 1 : policy.attemptsMax,
      // There everything is one owner's, who need not prove anything to himself.
      witnessed: !genesis.local && isAuditable(intent),
      answerMs: policy.answerMs,
      commitMs: policy.commitMs,
      revealMs: policy.revealMs,
      validators: state.validators.keys,
    },
    answers: [],
    earlier: null,
  }
}
