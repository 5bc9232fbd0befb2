/** Every role of a swarm of several machines in one process: an edge, four validators and eight workers with a fake engine each, that can be killed. */

import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type JobId, type PeerId, parseDigest } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { Applied } from '../../core/log/apply.ts'
import { DEFAULT_POLICY, type GenesisBody, genesisRoster, type Policy } from '../../core/log/genesis.ts'
import { type Seed, seedsCommitmentOf } from '../../core/log/inputs.ts'
import { type Intent, PLAIN, payloadCodec, payloadCommitment, plainMessage } from '../../core/log/intent.ts'
import type { Refused } from '../../core/log/refusal.ts'
import { type PolicyTable, policyTableCodec } from '../../core/verification/policy-table.ts'
import { AuditorRole } from '../../node/jobs/auditor.ts'
import { Coordinator } from '../../node/jobs/coordinator.ts'
import { DisputeDesk } from '../../node/jobs/disputes.ts'
import type { Dissent } from '../../node/jobs/dissent.ts'
import { staticRosters } from '../../node/jobs/job-roster.ts'
import type { NodeModel } from '../../node/jobs/model.ts'
import { RefereeRole } from '../../node/jobs/referee.ts'
import { ValidatorRole } from '../../node/jobs/validator.ts'
import { renderedMessages } from '../../node/jobs/words.ts'
import { WorkerRole } from '../../node/jobs/worker.ts'
import { createMemoryNetwork, type MemoryNetworkOptions } from '../../node/mesh/memory.ts'
import type { JobProgress } from '../../node/runtime/app.ts'
import type { Clock, Ledger, PeerTransport } from '../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend, type FakeOptions } from './fake-backend.ts'
import { FAKE_CHAT, fakeModel, runnerOf } from './fake-models.ts'
import { EDGE, secretOf, wholeSwarm } from './job-run.ts'
import { type LogSwarm, MINT_KEY, START_MS } from './log-swarm.ts'
import { createMemoryStore } from './memory-store.ts'
import { jobInputs, sharedSeeds } from './seeds.ts'

const PAYLOAD = {
  ...PLAIN,
  ...{ salt: new Uint8Array(32), texts: [], logprobs: 0 },
  messages: [plainMessage('user', 'hello')],
}
const WORDS = payloadCodec.encode(PAYLOAD)

export type JobSwarmOptions = {
  readonly network?: MemoryNetworkOptions
  /** Stands between a peer and the network. */
  readonly tap?: (transport: PeerTransport) => PeerTransport
  readonly policy?: Partial<Policy>
  /** In place of the edge, four validators and eight workers. */
  readonly members?: GenesisBody['members']
  readonly engine?: Partial<FakeOptions>
  /** In place of a fake model with these options, one for each machine. */
  readonly model?: (peer: PeerId) => Promise<NodeModel>
  /** Audit thresholds that the log has before there are jobs. */
  readonly table?: PolicyTable
  /** Validators audit and referee too, as they do in daemons. */
  readonly validatorsCompute?: boolean
  /** The edge disputes what auditors failed. */
  readonly disputesFailed?: boolean
  /** Whose credit the edge may stake, where its own is not enough. */
  readonly edgeUser?: KeyPair
}

export class JobSwarm {
  readonly log: LogSwarm
  readonly coordinator: Coordinator
  readonly store = createMemoryStore()
  readonly clock: Clock
  /** What went wrong that should not have. */
  readonly bugs: unknown[] = []
  /** Referees that were outvoted. */
  readonly dissents: Dissent[] = []
  /** Failed replicas that the edge could not dispute, and why. */
  readonly undisputed: string[] = []
  /** How far everybody's clock has been put forward. */
  skewMs = 0
  /** A new desk of the edge over the same store, as a restart makes one. */
  readonly newDesk: () => DisputeDesk
  readonly #machines: ReadonlyMap<PeerId, PeerTransport>
  readonly #validators: readonly ValidatorRole[]

  private constructor(options: JobSwarmOptions, engines: ReadonlyMap<PeerId, NodeModel>, spare: NodeModel) {
    const policy = {
      ...DEFAULT_POLICY,
      answerMs: 200,
      commitMs: 5_000,
      revealMs: 2_500,
      jobMs: 12_000,
      ...options.policy,
    }
    const { members } = options
    this.log = wholeSwarm({ genesis: { policy, ...(members === undefined ? {} : { members }) } })
    const startMs = systemClock.nowMs()
    this.clock = { ...systemClock, nowMs: () => Number(START_MS) + systemClock.nowMs() - startMs + this.skewMs }
    const onBug = (error: unknown): void => void this.bugs.push(error)
    const network = createMemoryNetwork(options.network ?? {}, { clock: this.clock, random: systemRandom, onBug })
    const { tap = (transport: PeerTransport): PeerTransport => transport } = options
    const endpoint = (peer: PeerId): PeerTransport => tap(network.endpoint(peer))
    const { state } = this.log
    const rosters = staticRosters(genesisRoster(state.genesis))
    // Also where nobody works the edge knows its model.
    const facts = ([...engines.values()][0] ?? spare).facts
    const common = { clock: this.clock, random: systemRandom, state: () => state, rosters, facts: () => facts }
    this.#validators = this.log.validators.map((key) => {
      const ports = { key, store: createMemoryStore(), transport: endpoint(key.peer) }
      if (options.validatorsCompute === true) {
        const runner = runnerOf(spare)
        new AuditorRole({ ...common, ...ports, runner })
        new RefereeRole({ ...common, ...ports, runner })
      }
      return new ValidatorRole({ ...common, ...ports })
    })
    this.#machines = new Map(
      [...engines].map(([peer, model]) => {
        const transport = endpoint(peer)
        const ports = { key: secretOf(peer), store: createMemoryStore(), transport, runner: runnerOf(model) }
        new WorkerRole({ ...common, ...ports })
        new AuditorRole({ ...common, ...ports })
        new RefereeRole({ ...common, ...ports })
        return [peer, transport]
      }),
    )
    if (options.table !== undefined)
      this.log.apply('policy', sealAs(policyTableCodec, options.table, state.swarmId, MINT_KEY))
    const edge = {
      ...{ ...common, key: EDGE, store: this.store, transport: endpoint(EDGE.peer), ledger: this.#ledger },
      ...{ fatal: onBug, misbehaved: () => undefined, onEvidence: () => undefined },
    }
    const { disputesFailed = false, edgeUser } = options
    const desk = {
      ...edge,
      ...(edgeUser === undefined ? {} : { user: edgeUser }),
      onDissent: (dissent: Dissent) => void this.dissents.push(dissent),
      onUndisputed: (_job: JobId, replica: number, code: string) => void this.undisputed.push(`${replica} ${code}`),
    }
    this.newDesk = () => new DisputeDesk({ requestMs: 1_000, refereeMs: 2_000, tickMs: 20, disputesFailed }, desk)
    this.coordinator = new Coordinator(
      { jobCountMax: 16, retryMs: 20, retryMsMax: 200, tickMs: 20, requestMs: 1_000, feedCountMax: 16 },
      edge,
    )
    void this.coordinator.run()
  }

  static async start(options: JobSwarmOptions = {}): Promise<JobSwarm> {
    const engines = new Map<PeerId, Awaited<ReturnType<typeof fakeModel>>>()
    const members = [...wholeSwarm().state.genesis.members, ...(options.members ?? [])]
    for (const { peer, roles } of members)
      if ((roles & 1) !== 0) engines.set(peer, await (options.model?.(peer) ?? fakeModel(FAKE_CHAT, options.engine)))
    return new JobSwarm(options, engines, await fakeModel(FAKE_CHAT))
  }

  /** A job of Alice: its feed, and its id. @param seeds  one for all replicas where absent */
  async submit(parts: Partial<Intent> = {}, seeds: readonly Seed[] = sharedSeeds(parts.replicas ?? 1)) {
    const modelDigest = parseDigest(FAKE_DIGEST)
    invariant(modelDigest !== undefined, 'the fake model has a digest')
    const size = {
      replicas: 1,
      maxTokens: 200,
      promptTokens: await promptLength(),
      modelMegaParams: FAKE_CHAT.megaParams,
    }
    const named = { ...size, modelDigest, payloadCommitment: payloadCommitment(WORDS) }
    const seedsCommitment = seedsCommitmentOf(seeds)
    const envelope = this.log.intent({ ...named, seedsCommitment, ...parts })
    const { id } = await this.coordinator.submit(envelope, jobInputs(WORDS, seeds))
    const feed = this.coordinator.feeds.get(id)
    invariant(feed !== undefined, 'an open job has a feed')
    return { id, feed }
  }

  /** The machine is gone: its connections break, and it answers nothing more. */
  async kill(peer: PeerId): Promise<void> {
    await this.#machines.get(peer)?.close()
  }

  stop(): void {
    this.coordinator.stop()
  }

  readonly #ledger: Ledger = {
    append: async (kind, body, alongside): Promise<Applied | Refused> => {
      this.log.nowMs = BigInt(this.clock.nowMs())
      const result = this.log.apply(kind, body)
      if (result.status === 'applied') for (const validator of this.#validators) validator.logged(result)
      if (result.status === 'applied') await this.store.commit(alongside?.(result) ?? [])
      return result
    },
    close: async () => undefined,
  }
}

/** What a listener hears, until the outcome. */
export async function heardBy(feed: AsyncIterable<JobProgress>, each: (text: string) => void = () => undefined) {
  let text = ''
  const [ids, finishes]: [number[], string[]] = [[], []]
  for await (const progress of feed) {
    if (progress.type === 'outcome') return { text, ids, finishes, outcome: progress }
    if (progress.type === 'finish') finishes.push(progress.finish)
    if (progress.type !== 'tokens') continue
    text += progress.text
    ids.push(...progress.ids)
    each(text)
  }
  throw new Error('a feed ends with its outcome')
}

async function promptLength(): Promise<number> {
  const backend = new FakeBackend()
  await backend.load(FAKE_LOAD)
  return (await backend.tokenize(await backend.render(renderedMessages(PAYLOAD)), true)).length
}
