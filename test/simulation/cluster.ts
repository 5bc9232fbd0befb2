/** A whole swarm in one thread: two edges, four validators, six workers, a client and the region log. */
import type { PeerId } from '../../core/ids.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { Prng } from '../../node/simulation/prng.ts'
import { Scheduler } from '../../node/simulation/scheduler.ts'
import type { BugName } from './bugs.ts'
import { Checkers } from './checkers.ts'
import { Client } from './client.ts'
import { Coverage } from './coverage.ts'
import { Edge, type EdgeKind } from './edge.ts'
import { LogService } from './log-service.ts'
import { Network } from './network.ts'
import { SimNode } from './node.ts'
import { Trace } from './trace.ts'
import { Validator, type ValidatorKind } from './validator.ts'
import { violated } from './violation.ts'
import { Worker, type WorkerKind } from './worker.ts'
import {
  CLIENT,
  EDGES,
  genesisOf,
  type Layout,
  LOG,
  nameOf,
  rosterOf,
  START_MS,
  VALIDATORS,
  WORKERS,
  type World,
} from './world.ts'

export type ClusterOptions = {
  readonly seed: number
  readonly bug?: BugName | undefined
  readonly keepsTrace?: boolean
  readonly layout?: Layout
  readonly vestMs?: bigint
  readonly isTight?: boolean
  readonly edges?: Readonly<Partial<Record<string, EdgeKind>>>
  readonly validators?: Readonly<Partial<Record<string, ValidatorKind>>>
  readonly workers?: Readonly<Partial<Record<string, WorkerKind>>>
}

const DOWN_MS_MAX = 2_500

export class Cluster implements World {
  readonly prng: Prng
  readonly scheduler = new Scheduler(START_MS)
  readonly trace: Trace
  readonly coverage = new Coverage()
  readonly genesis: Genesis
  readonly roster: World['roster']
  readonly bug: BugName | undefined
  readonly network: Network
  readonly checkers: Checkers
  readonly log: LogService
  readonly client: Client
  readonly edges = new Map<string, Edge>()
  readonly workers = new Map<string, Worker>()
  readonly nodes = new Map<string, SimNode>()
  /** Chance of a crash at each named moment. */
  crashPermille = 0
  /** Crashes that a scenario asks for: `node@moment`, each once. */
  readonly crashPlan = new Set<string>()

  constructor(options: ClusterOptions) {
    this.prng = new Prng(options.seed)
    this.trace = new Trace(this.scheduler, options.keepsTrace ?? false)
    this.genesis = genesisOf({
      layout: options.layout ?? 'separate',
      vestMs: options.vestMs ?? 0n,
      isTight: options.isTight ?? false,
    })
    this.roster = rosterOf(this.genesis)
    this.bug = options.bug
    this.checkers = new Checkers(this)
    this.network = new Network(this, (message) => this.nodes.get(message.to)?.deliver(message))
    this.log = new LogService(this, this.#node(LOG))
    this.client = new Client(this.#node(CLIENT))
    for (const name of EDGES) this.edges.set(name, new Edge(this.#node(name), options.edges?.[name] ?? 'honest'))
    for (const name of VALIDATORS) new Validator(this.#node(name), options.validators?.[name] ?? 'honest')
    const isWorkerToo = this.genesis.members.filter(({ roles }) => (roles & 3) === 3).length > 0
    for (const name of isWorkerToo ? [...WORKERS, 'v3'] : WORKERS)
      this.#addWorker(name, options.workers?.[name] ?? 'honest')
    this.log.open([...EDGES, ...VALIDATORS, ...WORKERS])
    for (const node of this.nodes.values()) if (!node.isUp) node.start()
  }

  workerKind(peer: PeerId): WorkerKind {
    return this.workers.get(nameOf(peer))?.kind ?? 'honest'
  }

  node(name: string): SimNode {
    const node = this.nodes.get(name)
    if (node === undefined) violated('scenario', `no node is called ${name}`)
    return node
  }

  point(node: SimNode, name: string): boolean {
    const isPlanned = this.crashPlan.delete(`${node.name}@${name}`)
    if (!isPlanned && !(this.crashPermille > 0 && this.prng.chance(this.crashPermille))) return false
    this.coverage.count(`crash at ${name}`)
    this.trace.say(`${node.name} is at ${name}`)
    node.crash()
    // A planned crash is ended by the plan.
    if (!isPlanned) this.scheduler.after(this.prng.between(20, DOWN_MS_MAX), () => node.restart())
    return true
  }

  /** Every job that the log holds is settled, and its edges know. */
  isQuiet(): boolean {
    if (this.client.openCount > 0) return false
    for (const [, { phase }] of this.log.state.jobs.entries()) if (phase !== 'settled') return false
    return [...this.edges.values()].every((edge) => edge.node.isUp && edge.openCount === 0)
  }

  /** Faults end: everybody is up, every message arrives, every clock is right. */
  heal(): void {
    this.trace.say('everything heals')
    this.crashPermille = 0
    this.network.heal()
    this.network.faults = { dropPermille: 0, duplicatePermille: 0, slowPermille: 0, delayMsMax: 10, slowMsMax: 10 }
    for (const node of this.nodes.values()) {
      node.disk.syncMsMax = 4
      node.clock.offsetMs = 0
      node.restart()
    }
  }

  finish(): void {
    this.checkers.atEnd(
      this.log.state,
      this.log.records.map(({ bytes }) => bytes),
    )
    for (const edge of this.edges.values()) {
      if (edge.openCount > 0) violated('edges-learn', `${edge.node.name} still has an open job at the end`)
    }
  }

  #addWorker(name: string, kind: WorkerKind): void {
    this.workers.set(name, new Worker(this.nodes.get(name) ?? this.#node(name), kind))
  }

  #node(name: string): SimNode {
    const node = new SimNode(name, this)
    this.nodes.set(name, node)
    return node
  }
}
