/** `/metrics` in the Prometheus text format 0.0.4. Labels are words of the code: no ids, no addresses, nothing that a peer or client wrote. */
import type { FastifyRequest } from 'fastify'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ErrorCode } from '../../core/errors.ts'
import type { EngineReading } from '../runtime/access.ts'
import { type JobView, MODEL_STATES } from '../runtime/app.ts'
import type { MeshLoad } from '../runtime/mesh.ts'
import { EngineMetrics } from './engine-metrics.ts'
import type { JobTask } from './limits.ts'
import { ProcessMetrics } from './process-metrics.ts'

/** What is read at each scrape. */
export type Readings = {
  readonly version: string
  readonly hostState: string
  readonly openJobs: number
  readonly openJobPhases: readonly string[]
  readonly slots: { readonly busy: number; readonly total: number }
  readonly engines: readonly EngineReading[]
  readonly streams: number
  readonly peerStates: readonly string[]
  readonly rejects: ReadonlyMap<string, number>
  readonly audits: ReadonlyMap<string, number>
  readonly mesh: MeshLoad | undefined
  /** Micro-credits. */
  readonly accounts: readonly { readonly account: string; readonly state: string; readonly amount: bigint }[]
}

const MICRO_PER_CREDIT = 1_000_000
const PEER_STATES = ['alive', 'suspect', 'dead', 'left']
/** From a route that reads memory to an answer of a large model. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

export class Metrics {
  readonly #registry = new Registry()
  readonly #process: ProcessMetrics
  readonly #engines: EngineMetrics
  readonly #codes = new WeakMap<FastifyRequest, ErrorCode>()
  readonly #requests = this.#counter('cfab_http_requests_total', 'Requests answered, by route, status, error code.', [
    'method',
    'route',
    'status',
    'code',
  ])
  readonly #seconds = new Histogram({
    ...{ name: 'cfab_http_request_seconds', help: 'Time to the end of an answer, streams included.' },
    ...{ labelNames: ['method', 'route'], buckets: SECONDS, registers: [this.#registry] },
  })
  readonly #admitted = this.#counter('cfab_jobs_admitted_total', 'Jobs that this node has let in.', ['task'])
  readonly #settled = this.#counter('cfab_jobs_settled_total', 'Jobs that have settled, by outcome.', ['outcome'])
  readonly #tokens = this.#counter('cfab_tokens_total', 'Tokens of prompts (in) and of answers (out).', ['direction'])
  readonly #credits = this.#counter('cfab_job_credits_total', 'Credits of settled jobs, by where they went.', ['to'])
  readonly #rejects = this.#counter('cfab_rejects_total', 'Messages of peers that were refused.', ['reason'])
  readonly #audits = this.#counter('cfab_audits_total', 'Auditors that were asked about outputs, by result.', [
    'result',
  ])
  readonly #links = this.#gauge('cfab_mesh_links', 'Sessions with other machines, by who dialled.', ['direction'])
  readonly #mesh = this.#gauge('cfab_mesh', 'What the work of other peers holds of this node now.', ['what'])
  readonly #openJobs = this.#gauge('cfab_jobs_open', 'Jobs that have not settled.')
  readonly #phases = this.#gauge('cfab_jobs_by_phase', 'Open jobs that came through this API, by phase.', ['phase'])
  readonly #busy = this.#gauge('cfab_slots_busy', 'Generations that run or wait for a slot of the engine.')
  readonly #slots = this.#gauge('cfab_slots', 'Sequences that the engine decodes together.')
  readonly #streams = this.#gauge('cfab_streams_open', 'Clients that are being answered.')
  readonly #peers = this.#gauge('cfab_peers', 'Members of the swarm, by state.', ['state'])
  readonly #host = this.#gauge('cfab_host_state', 'State of the chat model: 1 for the one that it is in.', ['state'])
  readonly #accounts = this.#gauge('cfab_account_credits', 'Credits of the local accounts.', ['account', 'state'])
  readonly #build = this.#gauge('cfab_build_info', 'Always 1; the labels say what runs.', ['version', 'node'])

  constructor() {
    this.#process = new ProcessMetrics(this.#registry)
    this.#engines = new EngineMetrics(this.#registry)
  }

  /** Remembers what a request was refused with until it is counted. */
  refused(request: FastifyRequest, code: ErrorCode): void {
    this.#codes.set(request, code)
  }

  /** Counts an answer of which the last byte has gone out, or whose client has gone. @param seconds  since the request's head came */
  answered(request: FastifyRequest, status: number, seconds: number): void {
    const route = request.routeOptions.url ?? 'none'
    // Of a route that is not there the method is the client's own word.
    const method = request.routeOptions.url === undefined ? 'none' : request.method
    const code = this.#codes.get(request) ?? 'none'
    this.#requests.inc({ method, route, status, code })
    this.#seconds.observe({ method, route }, seconds)
  }

  admitted(task: JobTask, promptTokens: number): void {
    this.#admitted.inc({ task })
    this.#tokens.inc({ direction: 'in' }, promptTokens)
  }

  settled({ outcome, cost, refund, replicas }: JobView): void {
    this.#settled.inc({ outcome: outcome ?? 'none' })
    // Replicas run the same prompt: the answer is as long as the longest of them.
    this.#tokens.inc({ direction: 'out' }, Math.max(0, ...replicas.map(({ tokens }) => tokens ?? 0)))
    this.#credits.inc({ to: 'workers' }, creditsOf(cost ?? 0n))
    this.#credits.inc({ to: 'refunds' }, creditsOf(refund ?? 0n))
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async text(now: Readings): Promise<string> {
    this.#openJobs.set(now.openJobs)
    this.#phases.reset()
    for (const phase of now.openJobPhases) this.#phases.inc({ phase })
    this.#busy.set(now.slots.busy)
    this.#slots.set(now.slots.total)
    this.#engines.read(now.engines)
    this.#streams.set(now.streams)
    for (const state of PEER_STATES) this.#peers.set({ state }, now.peerStates.filter((peer) => peer === state).length)
    for (const state of MODEL_STATES) this.#host.set({ state }, state === now.hostState ? 1 : 0)
    for (const { account, state, amount } of now.accounts) this.#accounts.set({ account, state }, creditsOf(amount))
    this.#build.set({ version: now.version, node: process.version }, 1)
    this.#rejects.reset()
    for (const [reason, count] of now.rejects) this.#rejects.inc({ reason }, count)
    this.#audits.reset()
    for (const [result, count] of now.audits) this.#audits.inc({ result }, count)
    this.#meshLoad(now.mesh)
    await this.#process.read()
    return this.#registry.metrics()
  }

  #meshLoad(mesh: MeshLoad | undefined): void {
    if (mesh === undefined) return
    const { links, ...held } = mesh
    for (const [direction, count] of Object.entries(links)) this.#links.set({ direction }, count)
    for (const [what, count] of Object.entries(held)) this.#mesh.set({ what }, count)
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] })
  }

  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] })
  }
}

function creditsOf(micro: bigint): number {
  return Number(micro) / MICRO_PER_CREDIT
}
