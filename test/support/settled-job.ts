/** Whole jobs, from hold to sealed receipt file: what receipt tests and vectors take apart. */
import { sealAs } from '../../core/identity/envelope.ts'
import type { SwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { SettledJob } from '../../core/job/job.ts'
import { outputOf, receiptOf } from '../../core/job/receipting.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import { type Intent, NO_SAMPLING } from '../../core/log/intent.ts'
import { epochPartOf } from '../../core/receipt/epoch.ts'
import { type ReceiptFile, receiptFileCodec } from '../../core/receipt/receipt.ts'
import { wordsOf } from '../../core/verification/vectors.ts'
import { hashVector } from './fake-backend.ts'
import { EDGE, JobRun, type JobRunOptions, OUTPUT } from './job-run.ts'

export type SettledRun = {
  readonly run: JobRun
  readonly job: SettledJob
  readonly file: Uint8Array
  readonly parts: ReceiptFile
  readonly root: SwarmId
}

/** `one`, `three`: paid. `lone`: three replicas of which one agrees with none. `vectors`: an embedding job. The others end refunded. */
export const ENDS = [
  'one',
  'three',
  'before',
  'lone',
  'vectors',
  'no_workers',
  'rejected',
  'lost',
  'expired',
  'expired_held',
] as const
export type End = (typeof ENDS)[number]

const OTHER = [11, 12, 99, 0]
/** Goes on after the stop id: a fault of structure. */
const UNSOUND = [11, 0, 12]

const WORDS = [...wordsOf(['one', 'two'].map(hashVector))]
/** The same vectors of another machine, and those of other texts. */
const ROUNDED = WORDS.map((word, at) => (at % 2 === 0 ? word + 1 : word))
const OTHER_WORDS = [...wordsOf(['three', 'four'].map(hashVector))]
const EMBEDDING: Partial<Intent> = { task: 'embedding', sampling: NO_SAMPLING, promptTokens: 2, maxTokens: 2 }

const WAYS: Record<End, (run: JobRun) => void> = {
  one: (run) => finish(run, [OUTPUT]),
  three: (run) => finish(run, [OUTPUT, OUTPUT, OUTPUT]),
  before: (run) => finish(run, [OTHER, OUTPUT, OUTPUT], null),
  lone: (run) => finish(run, [OTHER, OUTPUT, OUTPUT]),
  vectors: (run) => finish(run, [OTHER_WORDS, WORDS, ROUNDED], null),
  no_workers(run) {
    for (const peer of run.job.draw.ranked) run.answer(peer, 'busy')
    run.settle()
  },
  rejected: (run) => finish(run, [UNSOUND, OUTPUT, OUTPUT]),
  lost(run) {
    run.execute([undefined, undefined, undefined], null)
    run.settle()
  },
  expired(run) {
    run.answerAll()
    run.assign()
    run.deliver(1)
    run.commit(1)
    run.expire()
  },
  expired_held: (run) => void run.expire(),
}

export function settledRun(end: End, options: JobRunOptions = {}): SettledRun {
  const replicas = end === 'one' ? 1 : 3
  const verify = end === 'before' || end === 'vectors' ? 'before' : 'after'
  const task = end === 'vectors' ? EMBEDDING : {}
  const run = new JobRun({ ...options, intent: { replicas, verify, ...task, ...options.intent } })
  WAYS[end](run)
  const { job } = run
  invariant(job.phase === 'settled', `the job has settled, and is not ${job.phase}`)
  const { genesis, swarmId } = run.swarm.state
  const shown = [EDGE.peer, ...run.swarm.job(run.id).workers]
  const epoch = epochPartOf(epochOfJob(run.swarm.state, run.swarm.job(run.id)), run.roster, shown)
  const parts = { receipt: receiptOf(job, genesis.bytes, epoch), output: outputOf(job) }
  return { run, job, parts, file: sealAs(receiptFileCodec, parts, swarmId, EDGE), root: swarmId }
}

function finish(run: JobRun, outputs: readonly (readonly number[])[], streamed: number | null = 0): void {
  run.execute(outputs, streamed)
  run.find()
  run.settle()
}
