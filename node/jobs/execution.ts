/** Everything a coordinator asks of workers: offers, execution streams, reveals. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { idsFromBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { encodeEnvelope, openAs, seal, sealAs } from '../../core/identity/envelope.ts'
import type { JobId, PeerId, SwarmId } from '../../core/ids.ts'
import type { AssignedJob, Effect, ExecutingJob, Job, JobEvent } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { executeCodec, offerCodec, revealRequestCodec, stopCodec } from '../../core/job/proposal.ts'
import { revealRequestOf } from '../../core/job/proposing.ts'
import { summarise } from '../../core/latency/summary.ts'
import { answerCodec, bodyDigest } from '../../core/log/assignment.ts'
import { openReplicaInputs, replicaInputsOf } from '../../core/log/inputs.ts'
import { deliveryCodec } from '../../core/receipt/receipt.ts'
import {
  type Commitment,
  commitmentCodec,
  outputCommit,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../../core/verification/commitment.ts'
import type { Performed } from '../runtime/loop.ts'
import type { PeerStream } from '../runtime/ports.ts'
import type { CoordinatorPorts } from './coordinator.ts'
import type { FeedShelf } from './feed-shelf.ts'
import { steer } from './frames.ts'
import { prefixOf } from './prefix.ts'
import { type ReadStream, readReplica, type TokenPart } from './reader.ts'
import { checkSameJob, openFrom, sealFor } from './sealed.ts'
import { hearing } from './sealed-stream.ts'
import { taken } from './taken.ts'
import { timelinesOf, withTimelines } from './timelines.ts'

/** As long as so many requests the opening of a stream may take: an order may be large. */
const OPEN_REQUESTS = 2

type ExecuteEffect = Effect & { readonly type: 'execute' }
type RevealEffect = Effect & { readonly type: 'reveal' }

type Tell = (event: JobEvent) => void

type Early = {
  readonly recall: AbortController
  /** What the machine could not note yet. */
  readonly told: readonly JobEvent[]
  tell: Tell
  performed: Promise<Performed> | undefined
}

export class Execution {
  readonly #options: { readonly requestMs: number }
  readonly #ports: CoordinatorPorts
  readonly #feeds: FeedShelf
  /** Open execution streams by job, so that a client that hangs up can stop them. */
  readonly #streams = new Map<JobId, Set<PeerStream>>()
  readonly #stopped = new Set<JobId>()
  /** Orders that went out while the log was writing, by job and replica. */
  readonly #ahead = new Map<string, Early>()
  /**
   * What each replica streamed, by its ids and text: what the client has read must be what the worker reveals. A restart forgets it
   * together with the stream that the client read.
   */
  readonly #shown = new Map<JobId, Map<number, string>>()
  /** Replicas that have ended while the client heard another one, which may still be lost. */
  readonly #done = new Map<JobId, Map<number, ReadStream>>()
  /** Jobs whose journal has the stop: a stream that opens later is told at once. */
  readonly #halted = new Set<JobId>()

  constructor(options: { readonly requestMs: number }, ports: CoordinatorPorts, feeds: FeedShelf) {
    this.#options = options
    this.#ports = ports
    this.#feeds = feeds
  }

  /**
   * Notes that the client wants no more; workers hear of it once the job's journal has the stop (`halt`).
   *
   * @returns the sealed `stop` that makes unfinished outputs legal
   */
  stop(id: JobId, attempt: number): Uint8Array {
    this.#stopped.add(id)
    const { key, state } = this.#ports
    return sealAs(stopCodec, { jobId: id, attempt }, state().swarmId, key)
  }

  /** Workers stop after the token at hand and commit to what there is. */
  halt(id: JobId): void {
    this.#halted.add(id)
    for (const stream of this.#streams.get(id) ?? []) void stream.send(steer({ kind: 'stop' })).catch(() => undefined)
  }

  /** Another attempt begins: nothing of the one before counts but what the client has read. */
  renew(id: JobId): void {
    this.recall(id)
    this.#streams.delete(id)
    this.#shown.delete(id)
    this.#done.delete(id)
  }

  /** The job has settled. */
  forget(id: JobId): void {
    this.#streams.delete(id)
    this.#shown.delete(id)
    this.#done.delete(id)
    this.#stopped.delete(id)
    this.#halted.delete(id)
  }

  async offer(job: Job, peer: PeerId, signal: AbortSignal): Promise<Performed> {
    await this.#patience(job, signal)
    // Peers beyond the first R work only if one of those does not: they are asked a turn later, and most often not at all.
    if (job.draw.ranked.indexOf(peer) >= job.intent.replicas) await nextTurn()
    if (signal.aborted) return { events: [], journaled: false }
    const { transport, clock, state } = this.#ports
    const body = offerCodec.encode({ intent: job.intentEnvelope, attempt: job.attempt })
    const deadlineMs = Math.min(this.#options.requestMs, job.timing.answerMs)
    try {
      const envelope = await transport.request(peer, 'job/offer', body, { deadlineMs, signal })
      const opened = taken(openAs(answerCodec, envelope, state().swarmId))
      const fits = opened.signer === peer && opened.value.jobId === job.id && opened.value.attempt === job.attempt
      if (!fits) throw new FabricError('CF_MESH_REFUSED', { reason: 'signer_mismatch' })
      return told({ type: 'answered', peer, answer: opened.value.answer, envelope, nowMs: clock.nowMs() })
    } catch (error) {
      this.#blame(peer, error, signal)
      return told({ type: 'silent', peer, nowMs: clock.nowMs() })
    }
  }

  /**
   * Gives the workers their order while the log writes the assignment.
   *
   * Why before it is there: a certificate is all that a worker asks for, and the row of the proposal and the votes on it are on disk, so
   * after a crash the same assignment is certified and logged again, and the job's seed makes the same tokens. What a replica commits
   * to waits for `execute`; an edge whose assignment the log refuses has shown tokens that nobody is paid for.
   */
  ahead(job: Job): void {
    if (job.phase !== 'assigned') return
    for (const [replica, worker] of assignmentOf(job.assignment).workers.entries()) {
      const key = `${job.id}/${replica}`
      if (this.#ahead.has(key)) continue
      const [recall, told]: [AbortController, JobEvent[]] = [new AbortController(), []]
      const early: Early = { recall, told, tell: (event) => void told.push(event), performed: undefined }
      this.#ahead.set(key, early)
      const effect: ExecuteEffect = { type: 'execute', replica, worker }
      early.performed = this.#execute(job, effect, recall.signal, (event) => early.tell(event))
      // Whoever takes it over hears of it.
      early.performed.catch(() => undefined)
    }
  }

  /** The job is past its output, or the node stops: what was ordered ahead and not taken over ends. @param id  absent: of every job */
  recall(id?: JobId): void {
    for (const [key, { recall }] of this.#ahead) {
      if (id !== undefined && !key.startsWith(id)) continue
      this.#ahead.delete(key)
      recall.abort(new FabricError('CF_JOB_EXPIRED', { reason: 'recalled' }))
    }
  }

  async execute(job: Job, effect: ExecuteEffect, signal: AbortSignal, tell: Tell): Promise<Performed> {
    if (job.phase !== 'executing') return { events: [], journaled: false }
    const key = `${job.id}/${effect.replica}`
    const early = this.#ahead.get(key)
    this.#ahead.delete(key)
    if (early?.performed === undefined) return this.#execute(job, effect, signal, tell)
    const stop = (): void => early.recall.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    early.tell = tell
    for (const event of early.told) tell(event)
    // A stop that came while there was no phase that could note it.
    this.#obeyStop(job, tell)
    return early.performed.finally(() => signal.removeEventListener('abort', stop))
  }

  async #execute(
    job: AssignedJob | ExecutingJob,
    effect: ExecuteEffect,
    signal: AbortSignal,
    tell: Tell,
  ): Promise<Performed> {
    const { store, random, clock, key, state } = this.#ports
    const { replica, worker } = effect
    const nonce = random.bytes(16)
    const inputs = replicaInputsOf(store.payload(job.id), replica)
    const order = {
      intent: job.intentEnvelope,
      assignment: job.assignment,
      ...job.certificate,
      replica,
      inputs,
      nonce,
      ...prefixOf(job, replica, inputs, this.#feeds, this.#ports.facts(job.intent.modelDigest)?.stopIds ?? []),
    }
    const deadlineMs = Math.max(1, Number(assignmentOf(job.assignment).commitByMs) - clock.nowMs())
    let stream: PeerStream | undefined
    try {
      const { message, answerSecret } = sealFor(this.#ports, worker, 'job/execute', job.id, executeCodec.encode(order))
      stream = hearing(await this.#open(worker, message, deadlineMs, signal), answerSecret)
      this.#opened(job.id, stream)
      this.#obeyStop(job, tell)
      const { swarmId } = state()
      const start = { swarmId, jobId: job.id, attempt: job.attempt, replica, worker, receiver: key.peer, nonce }
      const ports = { key, clock, random, ...expected(job, replica, inputs) }
      const read = await readReplica(stream, start, ports, (part) => this.#tokens(job, effect, part, tell))
      stream.end()
      const delivered = this.#delivered(job, effect, read)
      this.#witnessed(delivered, effect, tell)
      if (job.intent.task !== 'embedding') this.#show(job.id, replica, outputName(read.ids, read.text))
      return {
        events: [...delivered, { type: 'committed', replica, commitment: read.commitment }],
        journaled: false,
      }
    } catch (error) {
      this.#blame(worker, error, signal)
      stream?.destroy()
      const reason = error instanceof FabricError ? error.code : 'CF_CONTROL_INTERNAL'
      return { events: this.#lost(job, replica, reason), journaled: false }
    } finally {
      if (stream !== undefined) this.#streams.get(job.id)?.delete(stream)
    }
  }

  /** A stream may last as long as the job; whether there is one is known long before. */
  async #open(worker: PeerId, order: Uint8Array, deadlineMs: number, signal: AbortSignal): Promise<PeerStream> {
    const { transport, clock } = this.#ports
    const [opening, opened] = [new AbortController(), new AbortController()]
    const late = (): void => opening.abort(new FabricError('CF_MESH_DEADLINE', { reason: 'order_not_taken' }))
    clock.sleep(OPEN_REQUESTS * this.#options.requestMs, opened.signal).then(late, () => undefined)
    try {
      const either = AbortSignal.any([signal, opening.signal])
      return await transport.openStream(worker, 'job/execute', order, { deadlineMs, signal: either })
    } finally {
      opened.abort()
    }
  }

  /** Asked before there was a stream, or before a restart. */
  #obeyStop(job: AssignedJob | ExecutingJob, tell: Tell): void {
    const isNoted = job.phase === 'executing' && job.stop.length > 0
    if (isNoted || this.#halted.has(job.id)) this.halt(job.id)
    else if (this.#stopped.has(job.id)) tell({ type: 'stopped', stop: this.stop(job.id, job.attempt) })
  }

  async reveal(job: Job, effect: RevealEffect, signal: AbortSignal): Promise<Performed> {
    const replica = 'replicas' in job ? job.replicas[effect.replica] : undefined
    if (job.phase !== 'committed' || replica?.state !== 'committed') return { events: [], journaled: false }
    const { transport, state } = this.#ports
    const body = revealRequestCodec.encode(revealRequestOf(job, effect.replica))
    try {
      const { value } = taken(openAs(commitmentCodec, replica.commitment, state().swarmId))
      const options = { deadlineMs: this.#options.requestMs, signal }
      const [answer, timelines] = await Promise.all([
        transport.request(effect.worker, 'job/reveal', body, options),
        this.#timelines(job, effect, value),
      ])
      const opened = openFrom(this.#ports, effect.worker, 'job/reveal', answer)
      checkSameJob(opened, job.id)
      const reveal = opened.body
      if (!opens(reveal, value, effect, this.#shown.get(job.id)?.get(effect.replica)))
        return told({ type: 'lost', replica: effect.replica, reason: 'reveal_mismatch' })
      return told({ type: 'revealed', replica: effect.replica, reveal, timelines })
    } catch (error) {
      this.#blame(effect.worker, error, signal)
      return 'retry'
    }
  }

  /** The first replica that speaks is the one that the client hears; with `before` nobody is heard until the verdict. */
  #tokens(job: Job, { replica, worker }: ExecuteEffect, part: TokenPart, tell: Tell): void {
    const isHeard = this.#feeds.tokens(job, replica, worker, part, this.#ports.clock.nowMs())
    if (isHeard) tell({ type: 'streaming', replica })
  }

  /** When the client was hearing it, another replica goes on, one that may have ended already; or only another attempt can. */
  #lost(job: AssignedJob | ExecutingJob, replica: number, reason: string): readonly JobEvent[] {
    const { workers } = assignmentOf(job.assignment)
    const heir = this.#feeds.lost(job, replica, workers)
    if (heir === undefined) return [{ type: 'lost', replica, reason }]
    if (heir === 'stranded') return [{ type: 'lost', replica, reason, stranded: true }]
    const [worker, read] = [workers[heir], this.#done.get(job.id)?.get(heir)]
    const events: JobEvent[] = [
      { type: 'lost', replica, reason },
      { type: 'streaming', replica: heir },
    ]
    if (worker === undefined || read === undefined) return events
    return [...events, ...this.#delivered(job, { type: 'execute', replica: heir, worker }, read)]
  }

  /** Nobody was lost, and yet the attempt before came to nothing: those who were busy or away are given time. */
  async #patience({ attempt, answers, timing }: Job, signal: AbortSignal): Promise<void> {
    if (attempt === 0 || answers.length > 0) return
    await this.#ports.clock.sleep((attempt * timing.answerMs) / 2, signal).catch(() => undefined)
  }

  #delivered(job: Job, effect: ExecuteEffect, read: ReadStream): readonly JobEvent[] {
    const segments = this.#feeds.finished(job, effect.replica, effect.worker, read)
    if (segments === undefined) {
      const done = this.#done.get(job.id) ?? new Map<number, ReadStream>()
      if (job.intent.replicas > 1 && job.intent.verify === 'after')
        this.#done.set(job.id, done.set(effect.replica, read))
      return []
    }
    const { key, state } = this.#ports
    const { swarmId } = state()
    const { ttftMs, tokensPerSecondMilli, gapP50Ms, gapP99Ms } = summarise(read.arrivals)
    const body = deliveryCodec.encode({
      jobId: job.id,
      attempt: job.attempt,
      assignmentHash: this.#assignmentHash(job, swarmId),
      segments: [...segments],
      chainHead: read.chainHead,
      ackHead: read.ackHead,
      ...{ ttftMs, tokensPerSecondMilli, gapP50Ms, gapP99Ms },
      witnesses: [],
    })
    return [{ type: 'delivered', delivery: encodeEnvelope(seal('delivery', swarmId, body, key)) }]
  }

  /** Nobody waits for what the witnesses say: it is added to the delivery when it comes. */
  #witnessed([first]: readonly JobEvent[], { replica, worker }: ExecuteEffect, tell: Tell): void {
    if (first?.type !== 'delivered') return
    const { key, transport, state, fatal } = this.#ports
    withTimelines({ key, transport, state: state() }, first.delivery, replica, worker)
      .then((delivery) => (delivery === undefined ? undefined : tell({ type: 'delivered', delivery })))
      .catch(fatal)
  }

  /** What a bonus is paid on must be there before the verdict; where none is offered nobody is asked. */
  async #timelines(job: Job, { replica, worker }: RevealEffect, { chainHead }: Commitment) {
    if (job.intent.speedTarget === 0) return []
    const { key, transport, state } = this.#ports
    const { id: jobId, attempt } = job
    return timelinesOf({ key, transport, state: state() }, { jobId, attempt, replica, worker, chainHead })
  }

  #assignmentHash(job: Job, swarmId: SwarmId) {
    return bodyDigest('assignment', swarmId, 'assignment' in job ? job.assignment : new Uint8Array())
  }

  #show(id: JobId, replica: number, output: string): void {
    const shown = this.#shown.get(id) ?? new Map<number, string>()
    this.#shown.set(id, shown.set(replica, output))
  }

  #opened(id: JobId, stream: PeerStream): void {
    const open = this.#streams.get(id) ?? new Set()
    this.#streams.set(id, open.add(stream))
  }

  #blame(peer: PeerId, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return
    if (!(error instanceof FabricError)) throw error
    // A host that died or is full is no misdeed of its owner.
    if (!error.code.startsWith('CF_WORKER_')) this.#ports.misbehaved(peer, error.code)
  }
}

/** What a replica's stream may bring. */
function expected({ intent }: Job, replica: number, inputs: Uint8Array) {
  const opened = openReplicaInputs(intent, replica, inputs)
  const streams = intent.task !== 'embedding'
  return {
    streams,
    tokenCountMax: streams ? intent.maxTokens : 0,
    details: opened.action === 'accept' && opened.value.payload.logprobs > 0,
  }
}

/** The reveal is bound by the salted commitment that its worker signed: it needs no signature of its own. */
function opens(reveal: Uint8Array, commitment: Commitment, effect: RevealEffect, shown: string | undefined): boolean {
  const decoded = revealCodec.decode(reveal)
  if (decoded.action !== 'accept') return false
  const { ids, text, salt } = decoded.value
  const tokens = idsFromBytes(ids)
  if (tokens === undefined || (shown !== undefined && outputName(tokens, text) !== shown)) return false
  const { jobId } = commitment
  return (
    outputCommit(jobId, effect.replica, effect.worker, tokensRoot(tokens), textDigest(text), salt) ===
    commitment.outputCommit
  )
}

function outputName(ids: Uint32Array | readonly number[], text: string): string {
  return `${tokensRoot(ids)}/${textDigest(text)}`
}

function told(event: JobEvent): Performed {
  return { events: [event], journaled: false }
}
