/** Takes one job through the real core, step by step: machine, judges, votes and log, with real keys and signatures. */
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { admitJob } from '../../core/job/admission.ts'
import type { Certified, Job, JobEvent } from '../../core/job/job.ts'
import { type Bench, judgeAssignment, judgeFindings, judgeSettlement, type ModelFacts } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import { assignmentOf, step } from '../../core/job/machine.ts'
import type { AssignmentProposal, FindingProposal, SettlementProposal } from '../../core/job/proposal.ts'
import { nextChunk, openChain } from '../../core/latency/chain.ts'
import { chainHeadOf, NOTHING_SHOWN } from '../../core/latency/links.ts'
import { CHOSEN_NONE, settlementCodec } from '../../core/ledger/settlement.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Applied } from '../../core/log/apply.ts'
import { answerCodec, bodyDigest } from '../../core/log/assignment.ts'
import { abstainersOf } from '../../core/log/authority.ts'
import { holdBody } from '../../core/log/bodies.ts'
import { assignmentEntryCodec, resultEntryCodec, settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { type GenesisBody, genesisRoster } from '../../core/log/genesis.ts'
import { type Seed, seedsCommitmentOf } from '../../core/log/inputs.ts'
import type { Intent } from '../../core/log/intent.ts'
import { sealInvite, sealSpend } from '../../core/log/invites.ts'
import { expiryOf } from '../../core/log/settling.ts'
import { standingOf } from '../../core/log/standing.ts'
import { deliveryCodec } from '../../core/receipt/receipt.ts'
import { type Member, ROLE, type RosterSnapshot, rosterSnapshot } from '../../core/roster/roster.ts'
import type { Validation } from '../../core/validation.ts'
import { type PolicyTable, policyTableCodec } from '../../core/verification/policy-table.ts'
import { claimOf } from '../../node/jobs/claim.ts'
import { ALICE, applied, intentOfAlice, LogSwarm, MINT_KEY, NO_SIGNATURES, START_MS } from './log-swarm.ts'
import { missing } from './missing.ts'
import { digestNamed, keyNamed, memberNamed, validatorKeys } from './people.ts'
import { sharedSeeds } from './seeds.ts'

const WORKERS = ['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7']
/** Names that `joined` may list. */
export const JOINED = ['j0', 'j1', 'j2', 'j3']
export const EDGE = keyNamed('edge')
/** In the roster like the first, but no job is its. */
export const OTHER_EDGE = keyNamed('other edge')
export const FACTS: ModelFacts = { megaParams: 3, vocabSize: 1_000, stopIds: [0], dimensions: 0 }
/** Of a model that embeds. */
export const VECTOR_FACTS: ModelFacts = { ...FACTS, stopIds: [], dimensions: 16 }
export const NOW_MS = Number(START_MS) + 100
/** A sound output: ends with the only stop id. */
export const OUTPUT: readonly number[] = [11, 12, 13, 14, 0]
const SECRETS = new Map(
  ['edge', 'alice', ...WORKERS, ...JOINED, ...range(8).map((place) => `v${place}`)].map((name) => [
    keyNamed(name).peer,
    keyNamed(name),
  ]),
)

export type JobRunOptions = {
  readonly intent?: Partial<Intent>
  readonly genesis?: Partial<GenesisBody>
  readonly validatorCount?: number
  /** How often the job may be drawn; one time when absent. */
  readonly attemptsMax?: number
  /** Peers that came in by invites and made epoch 1: then jobs are drawn from its roster. */
  readonly joined?: readonly string[]
  /** Audit thresholds that the log has before the job is held. */
  readonly policy?: PolicyTable
  /** In place of one seed for all replicas. */
  readonly seeds?: readonly Seed[]
}

/** Workers of different owners and address blocks, validators that do not work, two edges. */
export function wholeSwarm({ genesis = {}, validatorCount = 4 }: JobRunOptions = {}): LogSwarm {
  const validators = validatorKeys(validatorCount)
  const members = [
    ...WORKERS.map((name, block) => memberNamed(name, { block })),
    ...range(validatorCount).map((place) => memberNamed(`v${place}`, { block: 100 + place, roles: ROLE.validator })),
    memberNamed('edge', { block: 200, roles: ROLE.edge }),
    memberNamed('other edge', { block: 201, roles: ROLE.edge }),
  ]
  const swarm = new LogSwarm({ members, validators: validators.map(({ peer }) => peer), ...genesis })
  swarm.validators = validators
  return swarm
}

export class JobRun {
  readonly swarm: LogSwarm
  readonly roster: RosterSnapshot
  readonly id: JobId
  /** Every state and the event that led to it. */
  readonly trail: { readonly event: JobEvent; readonly job: Job }[] = []
  readonly first: Job
  readonly seeds: readonly Seed[]
  readonly claims = new Map<number, ReturnType<typeof claimOf>>()
  job: Job
  nowMs = NOW_MS

  constructor(options: JobRunOptions = {}) {
    this.swarm = wholeSwarm(options)
    const first = genesisRoster(this.swarm.genesis)
    this.roster = options.joined === undefined ? first : nextRoster(this.swarm, first, options.joined)
    const { seeds } = options
    const intent =
      seeds === undefined ? options.intent : { ...options.intent, seedsCommitment: seedsCommitmentOf(seeds) }
    this.seeds = seeds ?? sharedSeeds(intentOfAlice(intent).replicas)
    const envelope = this.swarm.intent(intent)
    const { policy } = options
    if (policy !== undefined)
      applied(this.swarm.apply('policy', sealAs(policyTableCodec, policy, this.swarm.state.swarmId, MINT_KEY)))
    const held = applied(this.swarm.apply('hold', holdBody(EDGE.peer, envelope)))
    invariant(held.jobId !== null, 'a hold makes a job')
    this.id = held.jobId
    this.first = this.#admitted(intentOfAlice(intent), envelope, held, options.attemptsMax ?? 1)
    this.job = this.first
  }

  tell(event: JobEvent): Job {
    this.job = step(this.job, event)
    this.trail.push({ event, job: this.job })
    return this.job
  }

  bench(self?: PeerId): Bench {
    const { state } = this.swarm
    const { task, modelDigest } = this.first.intent
    const known = task === 'embedding' ? VECTOR_FACTS : FACTS
    const facts: Bench['facts'] = (digest) => (digest === modelDigest ? known : undefined)
    return { self, state, roster: this.roster, nowMs: this.nowMs, facts }
  }

  answerOf(peer: PeerId, answer: 'accept' | 'busy' = 'accept'): Uint8Array {
    const value = { jobId: this.id, attempt: this.job.attempt, answer, slotsFree: 1 }
    return sealAs(answerCodec, value, this.swarm.state.swarmId, secretOf(peer))
  }

  answer(peer: PeerId, answer: 'accept' | 'busy' = 'accept'): Job {
    return this.tell({ type: 'answered', peer, answer, envelope: this.answerOf(peer, answer), nowMs: this.nowMs })
  }

  /** The best-ranked peers accept until the job is proposed. */
  answerAll(): Job {
    for (const peer of this.job.draw.ranked) if (this.job.phase === 'admitted') this.answer(peer)
    return this.job
  }

  get assignmentProposal(): AssignmentProposal {
    const answers = this.job.answers.map(({ envelope }) => envelope).filter((envelope) => envelope.length > 0)
    return { assignment: this.assignment, answers }
  }

  get assignment(): Uint8Array {
    invariant('assignment' in this.job, 'the job has an assignment')
    return this.job.assignment
  }

  assign(): Job {
    const statement = expectAccepted(judgeAssignment(this.bench(), this.assignmentProposal))
    const certificate = this.swarm.certificate(statement)
    this.tell({ type: 'assignment-certified', certificate })
    const { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping } = assignmentOf(
      this.assignment,
    )
    const value = { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping }
    applied(this.swarm.apply('assignment', assignmentEntryCodec.encode({ ...value, ...certificate })))
    return this.tell({ type: 'assignment-logged' })
  }

  get workers(): readonly PeerId[] {
    return assignmentOf(this.assignment).workers
  }

  claim(replica: number, ids: readonly number[] = OUTPUT, text = this.#text): ReturnType<typeof claimOf> {
    const embeds = this.first.intent.task === 'embedding'
    const { swarmId } = this.swarm.state
    const key = secretOf(this.workers[replica])
    const start = {
      swarmId,
      jobId: this.id,
      attempt: this.job.attempt,
      replica,
      worker: key.peer,
      receiver: EDGE.peer,
      nonce: new Uint8Array(16),
    }
    const isChunk = !embeds && ids.length > 0 && ids.length <= LIMITS.chunkTokensMax
    const shown = isChunk ? { nonce: start.nonce, links: [nextChunk(openChain(start), ids, 0n)] } : NOTHING_SHOWN
    const head = (isChunk ? chainHeadOf(start, ids, shown) : undefined) ?? openChain(start).head
    const claim = claimOf({
      ...{
        key,
        swarmId,
        chain: { head, count: 1, shown },
        salt: new Uint8Array(32).fill(replica + 1),
      },
      order: {
        jobId: this.id,
        assignment: { attempt: this.job.attempt },
        assignmentHash: bodyDigest('assignment', swarmId, this.assignment),
        replica,
      },
      // Without a stop token, or without vectors, the output was ended early.
      output: { ids, text, finish: (embeds ? ids.length > 0 : ids.at(-1) === 0) ? 'stop' : 'aborted' },
      ...{ schedule: [16], engineId: 'toy-engine 1.0 (cpu)' },
    })
    this.claims.set(replica, claim)
    return claim
  }

  get #text(): string {
    return this.first.intent.task === 'embedding' ? '' : 'a text'
  }

  commit(replica: number, ids: readonly number[] = OUTPUT, text = this.#text): Job {
    return this.tell({ type: 'committed', replica, commitment: this.claim(replica, ids, text).commitment })
  }

  /** A quorum signs what was committed to; nothing to do for a job that nobody witnesses. */
  witness(): Job {
    const { job } = this
    if (job.phase !== 'committed' || job.commitSet?.certificate !== null) return job
    const { commitments } = job.commitSet
    const proposal = { assignment: this.assignment, commitments }
    const statement = expectAccepted(judgeCommitSet(this.swarm.state, proposal))
    return this.tell({ type: 'commit-set-certified', certificate: this.swarm.certificate(statement) })
  }

  reveal(replica: number): Job {
    this.witness()
    return this.tell({ type: 'revealed', replica, reveal: this.claims.get(replica)?.reveal ?? new Uint8Array() })
  }

  /** The edge's account of the stream of one replica. */
  deliver(replica: number): Job {
    this.tell({ type: 'streaming', replica })
    const { swarmId } = this.swarm.state
    const worker = this.workers[replica] ?? ALICE.peer
    const delivery = {
      ...{
        jobId: this.id,
        attempt: this.job.attempt,
        assignmentHash: bodyDigest('assignment', swarmId, this.assignment),
      },
      ...{
        segments: [{ worker, tokenStart: 0, tokenCount: OUTPUT.length }],
        chainHead: digestNamed('chain'),
        ackHead: digestNamed('acks'),
      },
      ...{ ttftMs: 120, tokensPerSecondMilli: 45_000, gapP50Ms: 20, gapP99Ms: 60, witnesses: [] },
    }
    return this.tell({ type: 'delivered', delivery: sealAs(deliveryCodec, delivery, swarmId, EDGE) })
  }

  /** Assigned, one output a replica, revealed. `undefined` is a replica that is lost. */
  execute(outputs: readonly (readonly number[] | undefined)[], streamed: number | null = 0): Job {
    this.answerAll()
    this.assign()
    if (streamed !== null) this.deliver(streamed)
    for (const [replica, ids] of outputs.entries()) {
      if (ids === undefined) this.tell({ type: 'lost', replica, reason: 'gone' })
      else this.commit(replica, ids)
    }
    for (const [replica, ids] of outputs.entries())
      if (ids !== undefined && this.job.phase === 'committed') this.reveal(replica)
    return this.job
  }

  get findingProposal(): FindingProposal {
    const replicas = 'replicas' in this.job ? this.job.replicas : []
    const commitSet = 'commitSet' in this.job ? this.job.commitSet : null
    const handedIn = replicas.map((replica) => ('commitment' in replica ? replica.commitment : new Uint8Array()))
    return {
      assignment: this.assignment,
      commitments: commitSet?.commitments ?? handedIn,
      ...(commitSet?.certificate ?? NO_SIGNATURES),
      audits: 'audits' in this.job ? this.job.audits : [],
      reveals: replicas.map((replica) => ('reveal' in replica ? replica.reveal : new Uint8Array())),
      stop: 'stop' in this.job ? this.job.stop : new Uint8Array(),
      seeds: this.seeds,
      timelines: replicas.map((replica) => ({ envelopes: 'timelines' in replica ? replica.timelines : [] })),
    }
  }

  certifiedFindings(): readonly Certified[] {
    return expectAccepted(judgeFindings(this.bench(), this.findingProposal)).map(({ body, statement, worker }) => ({
      body,
      certificate: this.swarm.certificate(statement, abstainersOf(this.swarm.state, worker)),
    }))
  }

  find(): Job {
    const findings = this.certifiedFindings()
    this.tell({ type: 'found', findings })
    for (const { body, certificate } of findings) {
      applied(this.swarm.apply('result', resultEntryCodec.encode({ finding: body, ...certificate })))
    }
    return this.tell({ type: 'results-logged' })
  }

  get settlementProposal(): SettlementProposal {
    const { job } = this
    const chosen = job.phase === 'verified' ? job.chosen : null
    const reason = chosen !== null ? 'paid' : job.phase === 'failed' ? job.reason : 'output_rejected'
    const reveals = job.intent.verify === 'before' && job.phase === 'verified' ? this.findingProposal.reveals : []
    const outcome = chosen === null ? 'refunded' : 'paid'
    return { jobId: this.id, attempt: 0, outcome, reason, chosen: chosen ?? CHOSEN_NONE, reveals, cosines: [] }
  }

  settle(): Job {
    const proposal = this.settlementProposal
    const { statement, body } = expectAccepted(judgeSettlement(this.bench(), proposal))
    const certificate = this.swarm.certificate(statement)
    this.tell({ type: 'settlement-certified', settlement: { body, certificate } })
    const { jobId, attempt, outcome, reason, chosen } = proposal
    const entry = { jobId, attempt, outcome, reason, chosen, authority: 'certificate', ...certificate } as const
    applied(this.swarm.apply('settlement', settlementEntryCodec.encode(entry)))
    return this.tell({ type: 'settlement-logged', outcome, body, certificate })
  }

  /** The deadline passes and the log refunds without votes. */
  expire(): Job {
    const logged = this.swarm.job(this.id)
    this.swarm.nowMs = logged.deadlineMs
    this.nowMs = Number(logged.deadlineMs)
    this.tell({ type: 'tick', nowMs: this.nowMs })
    const body = settlementCodec.encode(expiryOf(this.swarm.state, logged))
    const claim = { jobId: this.id, attempt: 0, outcome: 'refunded', reason: 'deadline', chosen: CHOSEN_NONE } as const
    applied(
      this.swarm.apply('settlement', settlementEntryCodec.encode({ ...claim, authority: 'expiry', ...NO_SIGNATURES })),
    )
    return this.tell({ type: 'settlement-logged', outcome: 'refunded', body, certificate: null })
  }

  #admitted(intent: Intent, intentEnvelope: Uint8Array, { hash, entry }: Applied, attemptsMax: number): Job {
    const { state } = this.swarm
    const logged = this.swarm.job(this.id)
    const { index, previous, timeMs } = entry
    const hold = {
      edge: logged.edge,
      hash,
      index,
      previous,
      timeMs,
      deadlineMs: logged.deadlineMs,
      amount: logged.holdAmount,
    }
    const job = admitJob({
      id: this.id,
      user: logged.user,
      intent,
      intentEnvelope,
      hold,
      state,
      roster: this.roster,
    })
    return { ...job, timing: { ...job.timing, attemptsMax } }
  }
}

/** Lets peers in, each for a user of its own, and begins epoch 1 with them and everybody of the genesis. */
function nextRoster(swarm: LogSwarm, first: RosterSnapshot, joined: readonly string[]): RosterSnapshot {
  const { swarmId } = swarm.state
  const members = joined.map((name, place): Member => {
    const [peer, user] = [keyNamed(name), keyNamed(`user of ${name}`)]
    const terms = { id: peer.publicKey.slice(0, 16), expiresMs: START_MS + 1n, forPeer: peer.peer, grant: 0n }
    applied(swarm.apply('invite', sealSpend(swarmId, sealInvite(swarmId, terms, MINT_KEY), user, peer)))
    const { owner, base: weight } = standingOf(swarm.state, peer.peer) ?? missing('a standing')
    return { peer: peer.peer, weight, roles: ROLE.worker, owner, block: 300 + place }
  })
  const roster = rosterSnapshot(1n, [...first.members, ...members])
  applied(swarm.apply('roster', swarm.roster(roster.root)))
  applied(swarm.apply('beacon', swarm.beacon(digestNamed('beacon 1'))))
  return roster
}

export function secretOf(peer: PeerId | undefined): KeyPair {
  const key = peer === undefined ? undefined : SECRETS.get(peer)
  invariant(key !== undefined, 'the test knows the key')
  return key
}

export function expectAccepted<T>(validation: Validation<T>): T {
  invariant(validation.action === 'accept', `accepted, not ${validation.action === 'accept' ? '' : validation.reason}`)
  return validation.value
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, place) => place)
}
