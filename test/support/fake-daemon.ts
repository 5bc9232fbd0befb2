/** The whole daemon in this process over a fake engine: real votes, log, files and HTTP, and workers that fail and lie on command. */
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { parseSwarmId } from '../../core/ids.ts'
import { makeGenesis, type Policy } from '../../core/log/genesis.ts'
import { type ReceiptFacts, verifyReceiptFile } from '../../core/receipt/verify.ts'
import type { Embedded, GenerateRequest, LoadedModel, LoadRequest, TokenBatch } from '../../models/backend.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { loadConfig } from '../../node/config.ts'
import { NO_TAPS, startDaemon, type Taps } from '../../node/daemon.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { createLogger } from '../../node/runtime/telemetry.ts'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { loadGenesis } from '../../node/swarm/genesis.ts'
import { askJson, type Reply } from './control.ts'
import type { FakeOptions, Fault } from './fake-backend.ts'
import { AnyModelBackend } from './fake-models.ts'
import { getJson, parsed } from './spawned-node.ts'
import { tempFolder } from './temp-folder.ts'

export type FakeDaemonOptions = {
  /** Of an earlier daemon, to go on with; absent: a new one. */
  readonly home?: string
  /** Asked once for each generation, which are counted from 0. */
  readonly faultOf?: (request: GenerateRequest, index: number) => Fault | undefined
  /** Ids that the first generation goes on with behind its end. */
  readonly behindEnd?: readonly number[]
  readonly engine?: Partial<FakeOptions>
  /** Resolves when the chat model may load. */
  readonly loading?: Promise<void>
  readonly embedding?: EmbeddingOptions
  readonly taps?: Partial<Taps>
}
export type FakeDaemon = { readonly home: string; readonly url: string }

export type EmbeddingOptions = {
  /** Resolves when the model may load; rejects when it cannot. */
  readonly loading?: Promise<void>
  /** Asked once for each call, which are counted from 0: what this worker hands in instead. */
  readonly lieOf?: (honest: readonly Float32Array[], index: number) => readonly Float32Array[] | undefined
  readonly stepMs?: number
}

class EngineThatFakes extends AnyModelBackend {
  readonly state = 'ready'
  readonly #behindEnd: readonly number[]
  readonly #embedding: EmbeddingOptions
  readonly #loading: Promise<void> | undefined
  #generations = 0
  #embeddings = 0

  constructor(options: Partial<FakeOptions>, { behindEnd = [], embedding = {}, loading }: FakeDaemonOptions) {
    super(options)
    this.#behindEnd = behindEnd
    this.#embedding = embedding
    this.#loading = loading
  }

  override async load(request: LoadRequest): Promise<LoadedModel> {
    await (request.format === 'onnx' ? this.#embedding.loading : this.#loading)
    return super.load(request)
  }

  override async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    const first = this.#generations === 0
    this.#generations += 1
    yield* super.generate(request, signal)
    if (first && this.#behindEnd.length > 0) yield { slot: 0, ids: this.#behindEnd, logprobs: [], text: 'more' }
  }

  override async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    const index = this.#embeddings
    this.#embeddings += 1
    await systemClock.sleep(this.#embedding.stepMs ?? 0, signal)
    const { vectors, tokenCounts } = await super.embed(texts, signal)
    return { vectors: this.#embedding.lieOf?.(vectors, index) ?? vectors, tokenCounts }
  }
}

export async function withFakeDaemon<T>(
  options: FakeDaemonOptions,
  work: (daemon: FakeDaemon) => Promise<T>,
): Promise<T> {
  const home = options.home ?? tempFolder()
  const { faultOf = () => undefined } = options
  const engines: EngineThatFakes[] = []
  const host = () => {
    const engine = new EngineThatFakes({ slotCount: 8, ...options.engine, faultOf }, options)
    engines.push(engine)
    return engine
  }
  const config = loadConfig({ flags: { home, port: '0' }, env: {}, cwd: home })
  const daemon = await startDaemon(config, createLogger('silent'), { ...NO_TAPS, ...options.taps, host })
  try {
    return await work({ home, url: daemon.address })
  } finally {
    await daemon.stop()
    for (const engine of engines) await engine.close()
  }
}

/** Gives a home a swarm with other deadlines than ten minutes. */
export async function foundSwarm(home: string, policy: Partial<Policy>): Promise<void> {
  const { paths } = loadConfig({ flags: { home }, env: {}, cwd: home })
  const ports = { clock: systemClock, random: systemRandom }
  const genesis = await loadGenesis(paths.genesis, createKeyStore(paths.keys, systemRandom), 4, ports)
  const { swarmId: _id, bytes: _bytes, ...body } = genesis
  await writeFile(paths.genesis, makeGenesis({ ...body, policy: { ...body.policy, ...policy } }).bytes)
}

export type Wish = Readonly<Record<string, string | number | boolean | readonly string[]>>

/** @returns the job's id */
export async function submit(
  url: string,
  wish: Wish = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const answer = await askJson(`${url}/api/v1/p2p/intents`, { model: 'cfab-tiny', prompt: 'Hello', ...wish }, headers)
  assert.is(answer.status, 202, answer.body)
  return textAt(parsed(answer), 'job_id')
}

export function chat(url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const messages = [{ role: 'user', content: 'Hello' }]
  return askJson(`${url}/v1/chat/completions`, { model: 'cfab-tiny', messages, ...body }, headers)
}

export type SettledView = {
  readonly job: unknown
  readonly verdicts: readonly string[]
  /** What each worker got, in order of replica: `base`, `base+bonus` or nothing. */
  readonly pay: readonly string[]
  readonly facts: ReceiptFacts
}

/** Waits for a job's end, then checks what must hold of every job: its money adds up, its receipt is valid, the books sum to zero. */
export async function settledJob(url: string, id: string): Promise<SettledView> {
  await until(async () => textAt(await getJson(`${url}/api/v1/p2p/jobs/${id}`), 'phase') === 'settled')
  const job = await getJson(`${url}/api/v1/p2p/jobs/${id}`)
  const rows = listAt(await getJson(`${url}/api/v1/credits/transactions/list?job_id=${id}`), 'items')
  const legs = rows.filter((row) => textAt(row, 'kind') !== 'hold')
  assert.is(new Set(legs.map((row) => textAt(row, 'hash'))).size, 1, 'one settlement')
  assert.is(sum(legs), sum(rows.filter((row) => !legs.includes(row))), 'what was held is paid or given back')
  const replicas = listAt(job, 'replicas')
  const pay = replicas.map((replica) => {
    const node = textAt(replica, 'worker')
    const kinds = legs.filter((row) => textAt(row, 'node_id') === node).map((row) => textAt(row, 'kind'))
    return kinds
      .filter((kind) => kind !== 'fee')
      .sort()
      .join('+')
  })
  return {
    job,
    verdicts: replicas.map((replica) => textAt(replica, 'verdict')),
    pay,
    facts: await receiptFacts(url, id),
  }
}

const UNTIL_MS = 9_000
const UNTIL_POLL_MS = 5

/** @throws when it has not come true in time: whoever waits for ever keeps its daemon alive */
export async function until(what: () => Promise<boolean> | boolean, limitMs = UNTIL_MS): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await what())) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, UNTIL_POLL_MS))
  }
}

function sum(rows: readonly unknown[]): number {
  return rows.map(micro).reduce((total, amount) => total + amount, 0)
}

function micro(row: unknown): number {
  return Math.round(Number(textAt(row, 'amount')) * 1e6)
}

/** The facts of a receipt that verifies against the node's own swarm. */
export async function receiptFacts(url: string, id: string): Promise<ReceiptFacts> {
  const root = parseSwarmId(textAt(await getJson(`${url}/api/v1/status`), 'swarm'))
  const answer = await fetch(`${url}/api/v1/p2p/receipts/${id}`)
  const file = new Uint8Array(await answer.arrayBuffer())
  const verdict = verifyReceiptFile(file, { roots: new Set(root === undefined ? [] : [root]) })
  assert.is(
    verdict.status,
    'valid',
    JSON.stringify(verdict, (_key, value) => (typeof value === 'bigint' ? `${value}` : value)),
  )
  if (verdict.status !== 'valid') throw new Error('unreachable')
  return verdict.facts
}

export async function assertBooks(url: string): Promise<void> {
  const audit = await getJson(`${url}/api/v1/credits/audit`)
  assert.is(member(audit, 'zero_sum'), true)
  assert.is(member(audit, 'replay_matches'), true)
  assert.is(member(audit, 'open_holds'), 0)
}

export async function openJobs(url: string): Promise<number> {
  return Number(textAt(await getJson(`${url}/api/v1/status`), 'jobs', 'open'))
}
