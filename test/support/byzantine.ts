/** A member or validator that breaks every rule it can, over the real transport and with its own real key. */
import type { BodyOf } from '../../core/codec/schema.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { type Digest, digestOf, type JobId, type PeerId } from '../../core/ids.ts'
import { assignmentProposalCodec, offerCodec, settlementProposalCodec, votesCodec } from '../../core/job/proposal.ts'
import { assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { holdCodec } from '../../core/log/bodies.ts'
import { evidenceEntryCodec } from '../../core/log/bodies-certified.ts'
import { type Entry, type EntryKind, entryCodec } from '../../core/log/entry.ts'
import { type Genesis, genesisValidators } from '../../core/log/genesis.ts'
import { intentCodec, jobIdOf } from '../../core/log/intent.ts'
import { gossipCodec } from '../../core/membership/messages.ts'
import { encodeEvidence, evidenceOf } from '../../core/quorum/evidence.ts'
import { castVote, decodeVote, encodeVote, type Statement, subjectKey, type VoteKind } from '../../core/quorum/vote.ts'
import { type PeerRecord, peerRecordCodec } from '../../core/roster/record.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { createLogAccess, logHolders } from '../../node/jobs/log-access.ts'
import { appendRequestCodec } from '../../node/jobs/log-messages.ts'
import { createMembership, type MeshMembership } from '../../node/mesh/membership.ts'
import { createTlsTransport, type TlsTransport } from '../../node/mesh/tls/transport.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { parseTicket } from '../../node/swarm/ticket.ts'
import { joinSwarm } from '../../node/swarm/welcome.ts'
import { failureOf } from './error-code.ts'
import { openedBy, sealedBy } from './sealed.ts'
import type { SpawnedSwarm, SwarmNode } from './spawned-swarm.ts'

type Append = BodyOf<typeof appendRequestCodec>
type Asked = { readonly type: string; readonly body: Uint8Array }

const CALL_MS = 5_000
const REMEMBERED_MAX = 64
const ENTRIES_MAX = 1_000
const NOTHING = new Uint8Array()
const RECORD: Omit<PeerRecord, 'incarnation' | 'sequence'> = {
  ...{
    addresses: ['127.0.0.1:9'],
    region: 'main',
    roles: ROLE.worker,
    models: [],
    load: 0,
    slots: 2,
    factorPermille: 1_000,
  },
  ...{ hardware: { device: 'cpu', memoryMiB: 1, threads: 1 }, version: 'none' },
}

export class ByzantinePeer {
  /** What honest validators signed for it, by voter and subject. */
  readonly heard = new Map<string, Set<Digest>>()
  /** Answers that honest workers signed for jobs of other edges. */
  answerCount = 0
  /** How its calls ended, by type, code and reason. */
  readonly ends = new Map<string, number>()
  readonly #asked: Asked[] = []
  readonly #honest: readonly PeerId[]
  readonly #genesis: Genesis
  readonly #node: SwarmNode
  readonly #transport: TlsTransport
  /** It is there like anybody: a peer that nobody sees is asked nothing. */
  readonly #membership: MeshMembership
  /** Whether it votes twice; until then its votes are right. */
  lies = false
  #turn = 0

  private constructor(swarm: SpawnedSwarm, node: SwarmNode, transport: TlsTransport, membership: MeshMembership) {
    this.#membership = membership
    this.#genesis = swarm.genesis
    this.#node = node
    this.#transport = transport
    this.#honest = swarm.genesis.validators.filter((peer) => peer !== node.peer)
    for (const kind of ['assignment', 'settlement'] as const)
      transport.onMessage(`vote/${kind}`, async (from, body) => this.#asVoter(kind, this.#plain(kind, from, body)))
  }

  /** @param invite  spent first, for a peer that is not in yet */
  static async start(swarm: SpawnedSwarm, place: number, invite?: string): Promise<ByzantinePeer> {
    const node = swarm.node(place)
    const direct = new Map(swarm.nodes.map(({ peer, mesh }) => [peer, [{ kind: 'direct' as const, ...mesh }]]))
    const transport = await createTlsTransport(
      { listen: node.mesh, swarmKey: null, openTypes: [] },
      {
        ...{ key: node.key, clock: systemClock, random: systemRandom, onBug: () => undefined },
        directory: { addressesOf: (peer) => direct.get(peer) ?? [], standingOf: () => 'member' },
      },
    )
    if (invite !== undefined) {
      const keys = { user: node.key, node: node.key }
      await joinSwarm(transport, parseTicket(invite), keys, swarm.genesis, AbortSignal.timeout(CALL_MS))
    }
    const record = { ...RECORD, addresses: [`${node.mesh.host}:${node.mesh.port}`], roles: ROLE.validator }
    const membership = createMembership(
      { swarmId: swarm.genesis.swarmId, record },
      {
        ...{ key: node.key, transport, clock: systemClock, random: systemRandom },
        ...{ admitted: () => true, misbehaved: () => undefined, onBug: () => undefined },
      },
    )
    await membership.join([swarm.founder.peer], AbortSignal.timeout(CALL_MS))
    return new ByzantinePeer(swarm, node, transport, membership)
  }

  /** What others have proposed to it as a validator. */
  get proposals(): readonly Asked[] {
    return this.#asked
  }

  async close(): Promise<void> {
    await this.#membership.close()
    await this.#transport.close()
  }

  /** How many entries of a kind the log has. */
  async logged(kind: EntryKind): Promise<number> {
    return (await this.#entries(kind)).length
  }

  /** Takes jobs of others up, whose intents anybody reads in the log: offers them, for an attempt that nobody has begun. */
  async offerOthers(jobs: readonly JobId[]): Promise<void> {
    const holds = (await this.#entries('hold')).map(({ body }) => holdCodec.decode(body))
    const intents = holds.flatMap((hold) => (hold.action === 'accept' ? [hold.value.intent] : []))
    const named = intents.filter((intent) => {
      const opened = openAs(intentCodec, intent, this.#genesis.swarmId)
      return opened.action === 'accept' && jobs.includes(jobIdOf(this.#genesis.swarmId, opened.value.body))
    })
    const offers = named.map((intent) => offerCodec.encode({ intent, attempt: 1 }))
    const asked = offers.flatMap((offer) => this.#honest.map((peer) => this.#ask(peer, 'job/offer', offer)))
    this.answerCount += (await Promise.all(asked)).filter((answer) => answer !== undefined).length
  }

  async #entries(kind: EntryKind): Promise<readonly Entry[]> {
    const validators = (): readonly PeerId[] => logHolders(this.#genesis)
    const ports = { transport: this.#transport, clock: systemClock, random: systemRandom, validators }
    const access = createLogAccess({}, ports)
    try {
      const records = await access.read(0n, ENTRIES_MAX)
      const entries = records.map(({ bytes }) => entryCodec.decode(bytes))
      return entries.flatMap((entry) => (entry.action === 'accept' && entry.value.kind === kind ? [entry.value] : []))
    } finally {
      access.close()
    }
  }

  /** Everything that honest validators were asked of their votes, again and altered, to each of them at once. */
  async proposeWrongly(proposals: readonly Asked[] = this.#asked): Promise<void> {
    const altered = proposals.flatMap((asked) => [...this.#alterations(asked), asked])
    await Promise.all(altered.flatMap(({ type, body }) => this.#honest.map((peer) => this.#poll(peer, type, body))))
  }

  /** Entries that nobody may write: proofs against the innocent, refunds and holds without authority, bytes without sense. */
  async writeWrongly(): Promise<void> {
    const [holder, victim] = this.#honest
    if (holder === undefined || victim === undefined) throw new Error('nobody is there')
    const entries: Append[] = [
      ...(['hold', 'mint', 'settlement', 'roster', 'beacon', 'invite', 'transfer'] as const).map((kind) => ({
        ...{ kind, body: Uint8Array.of(0x90), origin: NOTHING, again: false },
      })),
      { kind: 'evidence', body: this.#slander(victim), origin: NOTHING, again: false },
    ]
    await Promise.all(entries.map((entry) => this.#ask(holder, 'log/append', appendRequestCodec.encode(entry))))
  }

  /** Records that are forged, old or of the future, and accusations against everybody. */
  async gossipWrongly(): Promise<void> {
    const nowMs = BigInt(Date.now())
    const words = this.#honest.flatMap((peer) => [
      this.#word(peer, nowMs + 5_000n),
      this.#word(peer, 1n),
      this.#word(peer, nowMs + 3_600_000n),
    ])
    const accusations = this.#honest.map((accused) => ({ accused, incarnation: nowMs, accuser: this.#node.peer }))
    const body = gossipCodec.encode({ words, accusations })
    await Promise.all(this.#honest.map((peer) => this.#ask(peer, 'swim/ping', body)))
  }

  /** As many calls as it can make, most of them nonsense. */
  async flood(count: number, bytes: number): Promise<void> {
    const types = ['swim/ping', 'vote/assignment', 'vote/findings', 'log/append', 'job/offer', 'roster/get', 'no/such']
    const body = systemRandom.bytes(bytes)
    const call = (place: number): Promise<unknown> =>
      this.#ask(this.#honest[place % this.#honest.length] ?? this.#node.peer, types[place % types.length] ?? '', body)
    await Promise.all(Array.from({ length: count }, (_, place) => call(place)))
  }

  /** Settlements come sealed. */
  #plain(kind: 'assignment' | 'settlement', from: PeerId, body: Uint8Array): Uint8Array {
    const about = { swarmId: this.#genesis.swarmId, kind: `vote/${kind}`, from }
    return kind === 'settlement' ? openedBy(this.#node.key, about, body) : body
  }

  /** While it does not lie it is slow: it asks the others about something else first. */
  async #asVoter(kind: 'assignment' | 'settlement', body: Uint8Array): Promise<Uint8Array> {
    const asked = { type: `vote/${kind}`, body }
    if (this.#asked.length < REMEMBERED_MAX) this.#asked.push(asked)
    if (!this.lies && kind === 'assignment')
      await Promise.all([this.proposeWrongly([asked]), this.offerOthers([opened(body).jobId])])
    return this.#votes(kind, body)
  }

  /** Says yes and, when it lies, something else: now both at once, now one to each. */
  #votes(kind: 'assignment' | 'settlement', body: Uint8Array): Uint8Array {
    if (!this.lies && kind === 'settlement') return votesCodec.encode({ votes: [] })
    const [right, wrong] = [this.#statement(kind, body), digestOf(systemRandom.bytes(32))]
    if (right === undefined) return votesCodec.encode({ votes: [] })
    this.#turn += 1
    const votes = [right, { ...right, digest: wrong }].map((one) => this.#vote(one))
    if (!this.lies) return votesCodec.encode({ votes: votes.slice(0, 1) })
    const shown = [votes, votes.slice(1), votes.toReversed(), votes.slice(0, 1)][this.#turn % 4] ?? votes
    return votesCodec.encode({ votes: shown })
  }

  #statement(kind: VoteKind, body: Uint8Array): Statement | undefined {
    const { epoch, hash: setHash } = genesisValidators(this.#genesis)
    const common = { kind, epoch, setHash, index: 0 }
    if (kind === 'assignment') {
      const { assignment, jobId, attempt } = opened(body)
      const digest = bodyDigest('assignment', this.#genesis.swarmId, assignment)
      return { ...common, subject: jobId, attempt, digest }
    }
    const decoded = settlementProposalCodec.decode(body)
    if (decoded.action !== 'accept') return undefined
    const { jobId, attempt } = decoded.value
    return { ...common, subject: jobId, attempt, digest: digestOf(systemRandom.bytes(32)) }
  }

  #alterations({ type, body }: Asked): readonly Asked[] {
    if (type !== 'vote/assignment') return []
    const decoded = assignmentProposalCodec.decode(body)
    const { fields } = opened(body)
    if (decoded.action !== 'accept') return []
    const { answers } = decoded.value
    const self = this.#node.peer
    const others = [
      { ...fields, workers: [self] },
      { ...fields, workers: this.#honest.slice(0, 2) },
      { ...fields, overlapping: !fields.overlapping },
      { ...fields, attempt: fields.attempt + 1 },
      { ...fields, attempt: 200 },
      { ...fields, epoch: fields.epoch + 1n },
      { ...fields, beacon: digestOf(systemRandom.bytes(32)) },
      { ...fields, revealByMs: fields.revealByMs + 86_400_000n },
    ].map((one) => ({ assignment: assignmentCodec.encode(one), answers }))
    const fewer = { assignment: decoded.value.assignment, answers: [] }
    return [...others, fewer].map((one) => ({ type, body: assignmentProposalCodec.encode(one) }))
  }

  /** A proof that its victim signed two things, of which it signed neither. */
  #slander(victim: PeerId): Uint8Array {
    const { epoch, hash: setHash } = genesisValidators(this.#genesis)
    const subject = digestOf(systemRandom.bytes(32))
    const votes = [1, 2].map((fill) => {
      const digest = digestOf(new Uint8Array(32).fill(fill))
      const statement: Statement = { kind: 'assignment', epoch, setHash, subject, attempt: 0, index: 0, digest }
      return { ...castVote(this.#genesis.swarmId, statement, this.#node.key), voter: victim }
    })
    const [one, other] = votes
    const evidence = one === undefined || other === undefined ? undefined : evidenceOf(one, other)
    if (evidence === undefined) throw new Error('they contradict each other')
    return evidenceEntryCodec.encode({ evidence: encodeEvidence(evidence) })
  }

  /** In the name of another peer, by its own key. */
  #word(
    peer: PeerId,
    incarnation: bigint,
  ): { peer: PeerId; incarnation: bigint; sequence: bigint; envelope: Uint8Array } {
    const version = { incarnation, sequence: 9n }
    const envelope = sealAs(peerRecordCodec, { ...RECORD, ...version }, this.#genesis.swarmId, this.#node.key)
    return { peer, ...version, envelope }
  }

  #vote(statement: Statement): Uint8Array {
    return encodeVote(castVote(this.#genesis.swarmId, statement, this.#node.key))
  }

  async #poll(peer: PeerId, type: string, body: Uint8Array): Promise<void> {
    const answer = await this.#ask(peer, type, this.#sealed(peer, type, body))
    const decoded = answer === undefined ? undefined : votesCodec.decode(answer)
    if (decoded?.action !== 'accept') return
    for (const bytes of decoded.value.votes) {
      const vote = decodeVote(bytes)
      if (vote.action !== 'accept') continue
      const { voter, statement } = vote.value
      const key = `${voter}/${subjectKey(statement)}`
      this.heard.set(key, (this.heard.get(key) ?? new Set()).add(statement.digest))
    }
  }

  /** As if it were the job's edge. */
  #sealed(to: PeerId, kind: string, body: Uint8Array): Uint8Array {
    const decoded = kind === 'vote/settlement' ? settlementProposalCodec.decode(body) : undefined
    if (decoded?.action !== 'accept') return body
    const about = { swarmId: this.#genesis.swarmId, kind, jobId: decoded.value.jobId as JobId, to }
    return sealedBy(this.#node.key, about, body).message
  }

  async #ask(peer: PeerId, type: string, body: Uint8Array): Promise<Uint8Array | undefined> {
    const options = { deadlineMs: CALL_MS, signal: AbortSignal.timeout(CALL_MS) }
    let answer: Uint8Array | undefined
    const asked = this.#transport.request(peer, type, body, options).then((bytes) => {
      answer = bytes
    })
    const { code, detail } = await failureOf(asked)
    const end = `${type} ${code} ${String(detail['reason'] ?? '')}`.trim()
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1)
    return answer
  }
}

function opened(body: Uint8Array) {
  const proposal = assignmentProposalCodec.decode(body)
  if (proposal.action !== 'accept') throw new Error('no proposal')
  const { assignment } = proposal.value
  const decoded = assignmentCodec.decode(assignment)
  if (decoded.action !== 'accept') throw new Error('no assignment')
  const { jobId, attempt } = decoded.value
  return { assignment, fields: decoded.value, jobId: jobId as JobId, attempt }
}
