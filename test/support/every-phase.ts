/** A job in each of its phases, taken there through the real core. */
import { invariant } from '../../core/invariant.ts'
import { type JobEvent, PHASES } from '../../core/job/job.ts'
import { JobRun, type JobRunOptions, OUTPUT } from './job-run.ts'

export function runTo(prepare: (run: JobRun) => void = () => {}, options: JobRunOptions = {}): JobRun {
  const run = new JobRun(options)
  prepare(run)
  return run
}

export function assigned(run: JobRun): void {
  run.answerAll()
  run.assign()
}

export function committed(run: JobRun): void {
  assigned(run)
  for (const replica of [0, 1, 2]) run.commit(replica)
}

export function revealed(run: JobRun): void {
  run.execute([OUTPUT, OUTPUT, OUTPUT])
}

export function verified(run: JobRun): void {
  revealed(run)
  run.find()
}

/** The machine does not look into a certificate: the tally that made it has. */
export function certify(run: JobRun): JobEvent {
  return { type: 'assignment-certified', certificate: { bitmap: 7, signatures: run.assignment } }
}

/** In the order of `PHASES`. */
export function everyPhase(): readonly JobRun[] {
  const runs = [
    runTo(),
    runTo((run) => run.answerAll()),
    runTo((run) => {
      run.answerAll()
      run.tell(certify(run))
    }),
    ...[assigned, committed, revealed].map((prepare) => runTo(prepare)),
    runTo((run) => {
      revealed(run)
      run.tell({ type: 'audited', audits: [] })
    }),
    runTo(verified),
    runTo((run) => {
      revealed(run)
      const findings = run.certifiedFindings()
      run.tell({ type: 'found', findings })
      run.tell({ type: 'disputed', findings })
    }),
    runTo((run) => run.tell({ type: 'cancel' })),
    runTo((run) => {
      verified(run)
      run.settle()
    }),
  ]
  const phases = runs.map(({ job }) => job.phase)
  invariant(phases.join() === PHASES.join(), 'one run for each phase, in order')
  return runs
}
