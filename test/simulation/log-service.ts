/**
 * The region log as its members see it: one order, never lost, applied by the real `applyEntry`; its answers may be lost, so
 * proposers ask again. Each state is a fork of the one before and never changes, so a node that is behind reads an older one.
 */
import type { JobId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { JobEvent } from '../../core/job/job.ts'
import { settlementCodec } from '../../core/ledger/settlement.ts'
import { type Applied, applyEntry, buildEntry, type RefusalReason } from '../../core/log/apply.ts'
import { genesisEntryCodec, holdCodec } from '../../core/log/bodies.ts'
import { settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { ENTRY_KINDS, type EntryKind } from '../../core/log/entry.ts'
import { expiryOf, settlementOf } from '../../core/log/settling.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import { LogSabotage, withBugOfGenesis } from './bugs.ts'
import type { SimNode } from './node.ts'
import { nameOf, type World } from './world.ts'

export type LogResult =
  | { readonly status: 'applied'; readonly index: number; readonly applied: Applied }
  | { readonly status: 'refused'; readonly reason: RefusalReason; readonly jobId: JobId | undefined }

export type SettledEvent = JobEvent & { readonly type: 'settlement-logged' }
type Record = { readonly bytes: Uint8Array; readonly applied: Applied }

export class LogService {
  readonly records: Record[] = []
  readonly #world: World
  readonly #node: SimNode
  readonly #sabotage: LogSabotage
  readonly #states: LogState[] = []
  readonly #results: LogResult[] = []
  /** First answer to each proposal, for a proposer that asks again. */
  readonly #byKey = new Map<string, number>()
  readonly #settledAt = new Map<JobId, number>()
  #listeners: readonly string[] = []

  constructor(world: World, node: SimNode) {
    this.#world = world
    this.#node = node
    this.#sabotage = new LogSabotage(world.bug)
  }

  /** @param listeners  nodes that are told of each entry, when the network lets them */
  open(listeners: readonly string[]): void {
    this.#listeners = listeners
    const { swarmId } = this.#world.genesis
    const empty = withBugOfGenesis(this.#world.bug, createState(this.#world.genesis))
    const opened = this.#apply(empty, 'genesis', genesisEntryCodec.encode({ swarmId }))
    invariant(opened.status === 'applied', 'the log opens')
    this.#node.runs(() => {
      this.#node.on('log/read', (_message, answer) => answer(String(this.headIndex)))
      this.#node.on('log/propose', ({ text, parts, from }, answer, refuse) => {
        const [kind = '', key = ''] = text.split(' ')
        if (kind === 'hold' && !namesItself(from, parts[0] ?? new Uint8Array())) return refuse('origin')
        answer(String(this.#proposed(kind, key, parts[0] ?? new Uint8Array())))
      })
    })
    this.#node.start()
  }

  get headIndex(): number {
    return this.#states.length - 1
  }

  get state(): LogState {
    return this.stateAt(this.headIndex)
  }

  stateAt(index: number): LogState {
    const state = this.#states[index]
    invariant(state !== undefined, 'the log has this entry')
    return state
  }

  resultOf(ticket: number): LogResult | undefined {
    return this.#results[ticket]
  }

  /**
   * How a job was settled, read from the log itself: whoever settled it, its edge learns the same.
   *
   * @param upTo  the newest entry that the reader has
   */
  settledEvent(id: JobId, upTo: number): SettledEvent | undefined {
    const index = this.#settledAt.get(id)
    if (index === undefined || index > upTo) return undefined
    const record = this.records[index]
    const before = this.stateAt(index - 1)
    const job = before.jobs.get(id)
    const entry = settlementEntryCodec.decode(record?.applied.entry.body ?? new Uint8Array())
    invariant(job !== undefined && entry.action === 'accept', 'a settlement in the log has a job')
    const { authority, chosen, outcome, reason, bitmap, signatures } = entry.value
    if (authority === 'expiry') {
      return {
        type: 'settlement-logged',
        outcome,
        body: settlementCodec.encode(expiryOf(before, job)),
        certificate: null,
      }
    }
    const settled = settlementOf(before, job, outcome === 'paid' ? chosen : null, reason)
    invariant(settled.status === 'ok', 'a settlement in the log follows from the state before it')
    return {
      type: 'settlement-logged',
      outcome,
      body: settlementCodec.encode(settled.body),
      certificate: { bitmap, signatures },
    }
  }

  #proposed(kindText: string, key: string, body: Uint8Array): number {
    const { coverage } = this.#world
    const earlier = this.#byKey.get(key)
    // Only what was applied is remembered: a refusal may become acceptance, as a late deadline does.
    if (earlier !== undefined) {
      coverage.count('log proposal repeated')
      if (this.#world.bug !== 'double-settlement' || kindText !== 'settlement') return earlier
    }
    const kind = ENTRY_KINDS.find((name) => name === kindText)
    invariant(kind !== undefined, 'a proposal names its kind')
    const result = this.#apply(this.state, kind, body)
    const ticket = this.#results.push(result) - 1
    if (result.status === 'applied') {
      this.#byKey.set(key, ticket)
      for (const name of this.#listeners) this.#node.tell(name, 'log/news', String(this.headIndex))
    } else {
      coverage.count(`log refused ${kind}: ${result.reason}`)
    }
    return ticket
  }

  #apply(before: LogState, kind: EntryKind, body: Uint8Array): LogResult {
    const { trace, checkers, coverage } = this.#world
    const after = this.#sabotage.before(before, kind, body)
    const built = buildEntry(after, kind, body, BigInt(this.#node.clock.nowMs()))
    const applied = applyEntry(after, built.bytes)
    if (applied.status === 'refused') return { status: 'refused', reason: applied.reason, jobId: applied.jobId }
    this.#sabotage.after(before, after, applied)
    this.#states.push(after)
    this.records.push({ bytes: built.bytes, applied })
    const { jobId } = applied
    if (kind === 'settlement' && jobId !== null && !this.#settledAt.has(jobId))
      this.#settledAt.set(jobId, this.headIndex)
    coverage.count(`entry: ${kind}`)
    trace.say(`log ${this.headIndex} ${kind}${jobId === null ? '' : ` ${checkers.jobName(jobId)}`}`)
    checkers.applied(applied, after)
    return { status: 'applied', index: this.headIndex, applied }
  }
}

/** As validators do: an edge makes nobody else drive a job. */
function namesItself(edge: string, body: Uint8Array): boolean {
  const hold = holdCodec.decode(body)
  return hold.action === 'accept' && nameOf(hold.value.edge) === edge
}
