/** The feeds of open jobs and of those that settled last. */
import { idsFromBytes } from '../../core/codec/bytes.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { JobId, PeerId, SwarmId } from '../../core/ids.ts'
import type { Job, SettledJob } from '../../core/job/job.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import { settlementCodec } from '../../core/ledger/settlement.ts'
import { commitmentCodec, revealCodec } from '../../core/verification/commitment.ts'
import type { Assurance } from '../../core/verification/policy.ts'
import { vectorsIn } from '../../core/verification/vectors.ts'
import type { FinishReason } from '../../models/backend.ts'
import type { JobOutcome, JobProgress, OutcomeKind } from '../runtime/app.ts'
import { JobFeed } from './feed.ts'
import type { TokenPart } from './reader.ts'
import { type Carry, Relay, type Segment } from './relay.ts'

type Shelved = {
  readonly feed: JobFeed
  /** Whose tokens go out: the first replica that speaks, then whoever goes on from there. */
  relay: Relay
  attempt: number
  /** The text that went out is whole. */
  finished: boolean
  /** Listeners know that the job is executing: workers begin while the log still writes their assignment. */
  executing: boolean
}

/** What closed feeds may take together; whoever asks for one that is gone hears the job's end from the journal. */
const CLOSED_BYTES_MAX = 64 * 2 ** 20

export class FeedShelf {
  readonly #feeds = new Map<JobId, Shelved>()
  readonly #feedCountMax: number
  readonly #closedBytesMax: number

  constructor(feedCountMax: number, closedBytesMax = CLOSED_BYTES_MAX) {
    this.#feedCountMax = feedCountMax
    this.#closedBytesMax = closedBytesMax
  }

  get(id: JobId): JobFeed | undefined {
    return this.#feeds.get(id)?.feed
  }

  /**
   * @param alike     replicas are expected to say the same
   * @param streamed  the replica that the journal names: after a restart no other may be heard, since no other will be paid for
   */
  open(id: JobId, maxTokens: number, alike: boolean, streamed?: number, attempt = 0): void {
    if (this.#feeds.has(id)) return
    const relay = new Relay(alike, streamed)
    this.#feeds.set(id, { feed: new JobFeed(maxTokens), relay, attempt, finished: false, executing: false })
    this.#trim()
  }

  /** Drops the oldest closed feeds until the rest is within its bounds. */
  #trim(): void {
    const closed = [...this.#feeds].filter(([, { feed }]) => feed.closed)
    let bytes = closed.reduce((sum, [, { feed }]) => sum + feed.bytes, 0)
    for (const [old, { feed }] of closed) {
      if (this.#feeds.size <= this.#feedCountMax && bytes <= this.#closedBytesMax) break
      this.#feeds.delete(old)
      bytes -= feed.bytes
    }
  }

  admitted(job: Job, nowMs: number): void {
    this.#push(job, { type: 'phase', phase: job.phase, atMs: nowMs, detail: `hold ${formatAmount(job.hold.amount)}` })
  }

  /**
   * @returns true when this replica has just become the one that is heard
   * @throws  FabricError CF_MESH_REFUSED when it does not go on from what the client has read
   */
  tokens(job: Job, replica: number, worker: PeerId, part: TokenPart, nowMs: number): boolean {
    const shelved = this.#ofAttempt(job)
    if (shelved === undefined || job.intent.verify === 'before') return false
    if (!shelved.executing) this.#executing(shelved, job.intent.replicas, nowMs)
    const first = shelved.relay.streamed === undefined
    const heard = shelved.relay.hear(replica, worker, part)
    if (heard !== undefined) shelved.feed.push({ type: 'tokens', ...heard })
    return first && heard !== undefined
  }

  /**
   * @returns the segments of what the client has read, when this is the replica that was heard last
   * @throws  FabricError CF_MESH_REFUSED when it ends before what the client has read
   */
  finished(
    job: Job,
    replica: number,
    worker: PeerId,
    read: { readonly finish: FinishReason; readonly ids: readonly number[] },
  ): readonly Segment[] | undefined {
    const shelved = this.#ofAttempt(job)
    if (shelved === undefined || job.intent.verify === 'before') return undefined
    if (!shelved.relay.finish(replica, worker)) return undefined
    if (!shelved.finished) shelved.feed.push({ type: 'finish', finish: read.finish, completionTokens: read.ids.length })
    shelved.finished = true
    return shelved.relay.segments
  }

  /** A replica is lost. @returns who is heard now if that changes, `stranded` when nobody of this attempt goes on from what the client has read */
  lost(job: Job, replica: number, workers: readonly PeerId[]): number | 'stranded' | undefined {
    const shelved = this.#ofAttempt(job)
    const change = shelved?.relay.lose(replica, workers)
    if (change === undefined || change === 'stranded') return change
    if (change.part !== undefined) shelved?.feed.push({ type: 'tokens', ...change.part })
    return change.heir
  }

  /** What the client has read, for the replica that is to go on. */
  carry(job: Job, replica: number, isWhole: (ids: readonly number[], text: string) => boolean): Carry | undefined {
    return this.#ofAttempt(job)?.relay.carry(replica, isWhole)
  }

  #ofAttempt({ id, attempt }: Job): Shelved | undefined {
    const shelved = this.#feeds.get(id)
    return shelved?.attempt === attempt ? shelved : undefined
  }

  changed(before: Job, after: Job, nowMs: number): void {
    const shelved = this.#feeds.get(after.id)
    if (shelved !== undefined && after.phase === 'admitted' && after.attempt > shelved.attempt) {
      shelved.attempt = after.attempt
      shelved.executing = false
      shelved.relay.renew()
    } else if (before.phase === after.phase) return
    if (after.phase === 'executing' && shelved !== undefined) {
      if (!shelved.executing) this.#executing(shelved, after.replicas.length, nowMs)
      return
    }
    this.#push(after, { type: 'phase', phase: after.phase, atMs: nowMs, detail: detailOf(after) })
    if (after.phase !== 'settled') return
    if (shelved?.finished === false) for (const progress of outputProgress(after)) this.#push(after, progress)
    this.#push(after, { type: 'outcome', ...outcomeOf(after) })
    // Nobody goes on from what it remembers.
    if (shelved !== undefined) shelved.relay = new Relay(true)
  }

  /** What a listener hears who comes after the feed was dropped. */
  replay(job: SettledJob): JobFeed {
    const feed = new JobFeed(job.intent.maxTokens)
    feed.push({ type: 'phase', phase: job.phase, atMs: Number(job.hold.timeMs), detail: detailOf(job) })
    for (const progress of outputProgress(job)) feed.push(progress)
    feed.push({ type: 'outcome', ...outcomeOf(job) })
    return feed
  }

  #executing(shelved: Shelved, replicas: number, nowMs: number): void {
    shelved.executing = true
    const detail = counted(replicas, 'replica')
    shelved.feed.push({ type: 'phase', phase: 'executing', atMs: nowMs, detail })
  }

  #push(job: Job, progress: JobProgress): void {
    this.#feeds.get(job.id)?.feed.push(progress)
  }
}

/** The whole chosen output at once: what `before` mode shows, and only after the verdict. */
function outputProgress(job: SettledJob): readonly JobProgress[] {
  const replica = job.chosen === null ? undefined : job.replicas[job.chosen]
  if (replica?.state !== 'revealed') return []
  const reveal = revealCodec.decode(replica.reveal)
  const commitment = openAs(commitmentCodec, replica.commitment, job.swarmId as SwarmId)
  if (reveal.action !== 'accept' || commitment.action !== 'accept') return []
  const { text, ids: bytes } = reveal.value
  const { finishReason: finish } = commitment.value.value
  const ids = idsFromBytes(bytes) ?? new Uint32Array()
  if (job.intent.task !== 'embedding')
    return [
      { type: 'tokens', ids: [...ids], text },
      { type: 'finish', finish, completionTokens: ids.length },
    ]
  // One that was stopped has no vectors.
  const whole: JobProgress = { type: 'vectors', vectors: vectorsIn(ids, job.intent.maxTokens) }
  return [...(ids.length > 0 ? [whole] : []), { type: 'finish', finish, completionTokens: 0 }]
}

export function outcomeOf(job: SettledJob): JobOutcome {
  const body = settlementCodec.decode(job.settlement.body)
  const settled = body.action === 'accept' ? body.value : undefined
  return {
    outcome: outcomeKind(job, settled?.assurance),
    assurance: settled?.assurance ?? 'unaudited',
    reason: job.reason,
    receiptId: job.id,
    cost: settled?.cost ?? 0n,
    refund: settled?.refund ?? job.hold.amount,
  }
}

function outcomeKind(job: SettledJob, assurance: Assurance | undefined): OutcomeKind {
  if (job.outcome === 'refunded') return job.reason === 'output_rejected' ? 'rejected' : 'refunded'
  if (assurance === 'replicated' || assurance === 'audited') return 'verified'
  return assurance === 'local' ? 'local' : 'unaudited'
}

function detailOf(job: Job): string {
  switch (job.phase) {
    case 'admitted':
      return `attempt ${job.attempt + 1}`
    case 'proposed':
      return `${counted(job.answers.filter(({ answer }) => answer === 'accept').length, 'worker')} accepted`
    case 'assigned':
      return `certificate of ${counted(job.certificate.signatures.length / 64, 'validator')}`
    case 'executing':
      return counted(job.replicas.length, 'replica')
    case 'committed':
      return counted(job.replicas.filter(({ state }) => state === 'committed').length, 'commitment')
    case 'revealed':
      return counted(job.replicas.filter(({ state }) => state === 'revealed').length, 'output')
    case 'audited':
      return counted(
        job.audits.reduce((sum, { reports }) => sum + reports.length, 0),
        'report',
      )
    case 'verified':
      return `${counted(job.findings.length, 'finding')} certified`
    case 'failed':
      return job.reason
    case 'settled':
      return job.outcome
    default:
      return ''
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
