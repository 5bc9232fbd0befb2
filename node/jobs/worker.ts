/** The worker's role: answer offers, run what a certificate orders, commit before anyone reveals, reveal once all have committed. */
import { equalBytes, idsFromBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { encodeEnvelope, openAs, seal } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, PeerId, UserId } from '../../core/ids.ts'
import { checkWitness } from '../../core/job/judge-audits.ts'
import {
  type Execute,
  executeCodec,
  offerCodec,
  type RevealRequest,
  revealRequestCodec,
  steerFrameCodec,
} from '../../core/job/proposal.ts'
import { type Assignment, answerCodec, assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { mayWork } from '../../core/log/draw.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import { openReplicaInputs, type ReplicaInputs } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, jobIdOf } from '../../core/log/intent.ts'
import { intentOf } from '../../core/log/settling.ts'
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import { witnessesFor } from '../../core/log/witnesses.ts'
import { checkCertificate } from '../../core/quorum/certificate.ts'
import { accept, reject, type Validation } from '../../core/validation.ts'
import { isAuditable } from '../../core/verification/replayable.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, PeerStream, PeerTransport, Random, Store } from '../runtime/ports.ts'
import { ChunkWriter } from './chunk-writer.ts'
import { type Claim, claimOf, claimSubject, decodeClaim, encodeClaim } from './claim.ts'
import { compute, type RunSignals } from './compute.ts'
import { frame } from './frames.ts'
import { HeaderCopies } from './header-copies.ts'
import { jobOfEdge } from './its-edge.ts'
import type { NodeModel } from './model.ts'
import type { Preparations } from './prepare.ts'
import type { ModelRunner } from './runner.ts'
import { checkSameJob, openFrom, sealFor } from './sealed.ts'
import { answering } from './sealed-stream.ts'
import { taken } from './taken.ts'

export type WorkerPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly state: () => LogState
  readonly runner: ModelRunner
  readonly rosters: Rosters
  /** Absent: a generation begins with its order. */
  readonly preparations?: Preparations
}

const SLOTS_SHOWN_MAX = 255

type Order = {
  readonly jobId: JobId
  readonly user: UserId
  readonly intent: Intent
  readonly assignment: Assignment
  readonly assignmentHash: Digest
  readonly inputs: ReplicaInputs
  readonly replica: number
  readonly nonce: Uint8Array
  /** What the client has read of an earlier attempt: the output goes on after it. */
  readonly prefix: { readonly ids: readonly number[]; readonly text: string }
}

export class WorkerRole {
  readonly #ports: WorkerPorts

  constructor(ports: WorkerPorts) {
    this.#ports = ports
    ports.transport.onMessage('job/offer', async (from, body, signal) => this.#offer(from, body, signal))
    ports.transport.onStream('job/execute', async (from, body, stream, signal) =>
      this.#execute(from, body, stream, signal),
    )
    ports.transport.onMessage('job/reveal', async (from, body, signal) => this.#reveal(from, body, signal))
  }

  /** A signed `accept` or `busy`: part of the assignment, so that skipping a better-ranked peer can be justified to anyone. */
  async #offer(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { key, state, clock } = this.#ports
    const offer = taken(offerCodec.decode(body))
    const { swarmId } = state()
    const intent = taken(openAs(intentCodec, offer.intent, swarmId))
    const jobId = jobIdOf(swarmId, intent.body)
    const job = await jobOfEdge(state, jobId, from, clock, signal)
    const isLate = job.phase === 'settled' || (job.phase === 'assigned' && offer.attempt <= job.attempt)
    if (isLate) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
    // Before the job is given up its own edge may do it.
    const isLast = offer.attempt + 1 >= state().genesis.policy.attemptsMax
    const isLeft = from === key.peer && !isLast && this.#leavesOwn(job, intent.value.replicas)
    const slotsFree = isLeft ? 0 : Math.min(await this.#slotsFree(intent.value, signal), SLOTS_SHOWN_MAX)
    const answer = slotsFree > 0 ? 'accept' : 'busy'
    const answerBody = answerCodec.encode({ jobId, attempt: offer.attempt, answer, slotsFree })
    return encodeEnvelope(seal('answer', swarmId, answerBody, key))
  }

  /** A model that is on its way is worth a moment: after a restart its jobs are there before it is. */
  #slotsFree({ modelDigest }: Intent, signal: AbortSignal): Promise<number> {
    return this.#ports.runner.use(modelDigest, signal, async (model) => model.slotsFree()).catch(() => 0)
  }

  /** Who submits a job is no witness of its answer: an edge leaves its own jobs to others where there are enough of them. */
  #leavesOwn(job: LoggedJob, replicas: number): boolean {
    const { key, state, rosters } = this.#ports
    if (state().genesis.local) return false
    const members = rosters.of(epochOfJob(state(), job).rosterRoot)?.members ?? []
    const isEligible = mayWork(state().genesis)
    const owner = members.find(({ peer }) => peer === key.peer)?.owner
    const others = new Set(
      members.filter((member) => isEligible(member) && member.owner !== owner).map((one) => one.owner),
    )
    return others.size >= replicas
  }

  async #execute(from: PeerId, body: Uint8Array, plain: PeerStream, signal: AbortSignal): Promise<void> {
    const opened = openFrom(this.#ports, from, 'job/execute', body)
    const order = taken(this.#open(taken(executeCodec.decode(opened.body))))
    checkSameJob(opened, order.jobId)
    const { clock, state, random } = this.#ports
    const stream = answering(plain, opened.answerSecret, random.bytes(32))
    const job = await jobOfEdge(state, order.jobId, from, clock, signal)
    const earlier = this.#ports.store.work(this.#ports.key.peer, claimSubject(order))
    const stop = new AbortController()
    const copies = this.#copiesOf(job, order)
    const writer = new ChunkWriter({ ...this.#chunkPorts(from, order), signal, copy: copies.send }, stream)
    const steering = this.#steer(stream, writer, stop)
    try {
      const claim =
        earlier === undefined
          ? await this.#run(order, writer, { stopping: AbortSignal.any([signal, stop.signal]), gone: signal })
          : await replay(order, decodeClaim(earlier), writer)
      await stream.send(frame({ kind: 'commitment', envelope: claim.commitment }))
    } catch (error) {
      if (!(error instanceof FabricError)) throw error
      await stream.send(frame({ kind: 'failed', text: error.code }))
    } finally {
      // Also when the edge is gone: witnesses would else be kept waiting as long as a stream may last.
      copies.close()
    }
    stream.end()
    await steering
  }

  /** Acknowledgements feed the latency chain; `stop` ends the generation early, and what there is gets committed. */
  async #steer(stream: PeerStream, writer: ChunkWriter, stop: AbortController): Promise<void> {
    try {
      for await (const bytes of stream) {
        const steer = steerFrameCodec.decode(bytes)
        if (steer.action !== 'accept') continue
        if (steer.value.kind === 'stop') stop.abort(new FabricError('CF_JOB_EXPIRED', { reason: 'stopped' }))
        else writer.acknowledged(steer.value.envelope)
      }
    } catch {
      // The coordinator went away: its own signal ends the run, and the commitment on disk waits for it to come back.
    }
  }

  #run(order: Order, writer: ChunkWriter, signals: RunSignals): Promise<Claim> {
    const { runner } = this.#ports
    return runner.use(order.intent.modelDigest, signals.gone, (model) => this.#runOn(model, order, writer, signals))
  }

  async #runOn(model: NodeModel, order: Order, writer: ChunkWriter, signals: RunSignals): Promise<Claim> {
    const { key, random, state, store, preparations } = this.#ports
    const { engineId } = model.now()
    const { schedule, ...output } = await compute(model, order, writer, signals, preparations)
    const chain = await writer.close()
    const claim = claimOf({
      key,
      swarmId: state().swarmId,
      order,
      chain,
      output,
      salt: random.bytes(32),
      schedule,
      engineId,
    })
    // Disk before network: after a crash this worker must repeat this very commitment, another one would be equivocation.
    await store.commit([{ table: 'work', worker: key.peer, subject: claimSubject(order), bytes: encodeClaim(claim) }])
    return claim
  }

  /** Only to the job's edge: the first to see what another replica said could say the same. */
  async #reveal(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const request = taken(revealRequestCodec.decode(body))
    const { key, store, state, clock } = this.#ports
    const job = await jobOfEdge(state, request.jobId as JobId, from, clock, signal)
    this.#checkWitness(job, request)
    const earlier = store.work(key.peer, claimSubject(request))
    if (earlier === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
    const claim = decodeClaim(earlier)
    const own = request.commitments[request.replica]
    if (own === undefined || !equalBytes(own, claim.commitment)) {
      throw new FabricError('CF_MESH_REFUSED', { reason: 'commitment_mismatch' })
    }
    return sealFor(this.#ports, from, 'job/reveal', job.id, claim.reveal).message
  }

  /** @throws FabricError CF_MESH_REFUSED while somebody may still commit to what this node is about to show */
  #checkWitness(job: LoggedJob, { attempt, commitments, bitmap, signatures }: RevealRequest): void {
    const state = this.#ports.state()
    if (state.genesis.local || !isAuditable(intentOf(job))) return
    taken(checkWitness(state, { job, attempt, commitments, certificate: { bitmap, signatures } }))
  }

  /** The certificate is the order: without Q validators behind it nobody works, and nobody works on other words than the committed ones. */
  #open(execute: Execute): Validation<Order> {
    const { key, state } = this.#ports
    const { swarmId, validators } = state()
    const intent = openAs(intentCodec, execute.intent, swarmId)
    if (intent.action !== 'accept') return intent
    const assignment = assignmentCodec.decode(execute.assignment)
    if (assignment.action !== 'accept') return assignment
    const jobId = jobIdOf(swarmId, intent.value.body)
    const { attempt, workers } = assignment.value
    const digest = bodyDigest('assignment', swarmId, execute.assignment)
    const statement = {
      kind: 'assignment',
      epoch: validators.epoch,
      setHash: validators.hash,
      subject: jobId,
      attempt,
      index: 0,
      digest,
    } as const
    const certificate = checkCertificate(swarmId, validators, statement, {
      bitmap: execute.bitmap,
      signatures: execute.signatures,
    })
    if (certificate.action !== 'accept') return certificate
    if (assignment.value.jobId !== jobId || workers[execute.replica] !== key.peer) return reject('proposal_mismatch')
    const prefixIds = idsFromBytes(execute.prefixIds)
    if (prefixIds === undefined) return reject('body_malformed', 'prefixIds')
    const inputs = openReplicaInputs(intent.value.value, execute.replica, execute.inputs)
    if (inputs.action !== 'accept') return inputs
    return accept({
      jobId,
      user: intent.value.signer,
      intent: intent.value.value,
      assignment: assignment.value,
      assignmentHash: digest,
      inputs: inputs.value,
      replica: execute.replica,
      nonce: execute.nonce,
      prefix: { ids: [...prefixIds], text: execute.prefixText },
    })
  }

  #copiesOf({ edge, holdHash }: LoggedJob, { jobId, assignment, replica, intent }: Order): HeaderCopies {
    const { key, transport, state } = this.#ports
    const about = { holdHash, attempt: assignment.attempt, replica, worker: key.peer, edge }
    const witnesses = intent.task === 'embedding' ? [] : witnessesFor(state(), about)
    return new HeaderCopies(transport, witnesses, { jobId, attempt: assignment.attempt, replica })
  }

  #chunkPorts(receiver: PeerId, order: Order) {
    const { key, clock, state } = this.#ports
    return {
      key,
      clock,
      swarmId: state().swarmId,
      receiver,
      jobId: order.jobId,
      attempt: order.assignment.attempt,
      replica: order.replica,
      nonce: order.nonce,
    }
  }
}

/** A repeated order gets the first answer again; vectors are not streamed, the reveal brings them. */
async function replay({ intent }: Order, claim: Claim, writer: ChunkWriter): Promise<Claim> {
  if (intent.task !== 'embedding') await writer.replayed(claim.ids, claim.text)
  return claim
}
