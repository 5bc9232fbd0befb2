/**
 * The writer of a region log in etcd: one transaction in flight; what is proposed meanwhile joins the next one as long as each
 * proposal follows from the one before it.
 *
 * A transaction compares the head's revision and that no idempotency key exists, and puts entries, keys and head together. Sent again
 * after an answer was lost it either is the first to be done or fails on the head that it moved itself, and then the keys say so: no
 * order of losses, delays and repetitions writes an entry twice.
 */
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { EntryLink, LogHead, Proposed, ProposeOptions } from '../runtime/ports.ts'
import type { EtcdClient } from './region-log-etcd-client.ts'
import {
  EMPTY_HEAD,
  type EtcdKeys,
  get,
  headBytes,
  parseHead,
  parseTxn,
  parseU64,
  put,
  spanBytes,
  type TxnAnswer,
  unchanged,
} from './region-log-etcd-wire.ts'

export type EtcdWriterOptions = {
  readonly keys: EtcdKeys
  readonly linkOf: (bytes: Uint8Array) => EntryLink | undefined
  readonly deadlineMs: number
}
type Waiting = {
  readonly batch: readonly Uint8Array[]
  readonly first: EntryLink
  readonly last: EntryLink
  readonly options: ProposeOptions
  readonly key: string
  readonly byteCount: number
  readonly resolve: (proposed: Proposed) => void
  readonly reject: (error: unknown) => void
}
type KnownHead = LogHead & { readonly revision: string }

/** etcd's own bounds (`--max-txn-ops`, `--max-request-bytes`) with room for keys and framing. */
const OPERATION_COUNT_MAX = 128
const TXN_BYTES_MAX = 1_400_000
/** Key and framing of one operation. */
const OPERATION_BYTES = 160
/** Entries that one proposal may carry: its transaction also puts the head and the idempotency key. */
export const ETCD_BATCH_COUNT_MAX = OPERATION_COUNT_MAX - 2
const QUEUE_COUNT_MAX = 1_024

export class EtcdWriter {
  readonly #options: EtcdWriterOptions
  readonly #client: EtcdClient
  readonly #onAppended: () => void
  readonly #queue: Waiting[] = []
  #head: KnownHead | undefined
  #running: Promise<void> | undefined

  constructor(options: EtcdWriterOptions, client: EtcdClient, onAppended: () => void) {
    this.#options = options
    this.#client = client
    this.#onAppended = onAppended
  }

  propose(batch: readonly Uint8Array[], options: ProposeOptions): Promise<Proposed> {
    return new Promise((resolve, reject) => {
      if (this.#queue.length >= QUEUE_COUNT_MAX)
        throw new FabricError('CF_STORE_QUEUE_FULL', { proposals: this.#queue.length })
      const { first, last } = chainEnds(batch, options, this.#options.linkOf)
      const byteCount = batch.reduce((sum, { length }) => sum + length + OPERATION_BYTES, 2 * OPERATION_BYTES)
      if (batch.length > ETCD_BATCH_COUNT_MAX || byteCount > TXN_BYTES_MAX)
        throw new FabricError('CF_STORE_FAILED', { reason: 'batch_too_large', entries: batch.length, byteCount })
      const key = this.#options.keys.proposal(options.idempotencyKey)
      this.#queue.push({ batch, first, last, options, key, byteCount, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Answers what is queued. */
  async close(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // What is proposed in the same tick makes one transaction.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const group = this.#nextGroup()
      const asked = group.length > 0 ? group : this.#queue.slice(0, OPERATION_COUNT_MAX - 1)
      try {
        if (group.length > 0) await this.#commit(group)
        else if (asked.length > 0) await this.#look(asked)
      } catch (error) {
        // The outcome may be unknown: the head is read again before anything else is proposed.
        this.#head = undefined
        this.#refuse(error, asked)
      }
    }
    this.#running = undefined
  }

  /** Proposals from the front of the queue that follow from the head and from each other and fit one transaction. */
  #nextGroup(): readonly Waiting[] {
    if (this.#head === undefined) return []
    let head: LogHead = this.#head
    let [operations, byteCount] = [1, 0]
    const group: Waiting[] = []
    for (const waiting of [...this.#queue]) {
      operations += waiting.batch.length + 1
      byteCount += waiting.byteCount
      const fits = operations <= OPERATION_COUNT_MAX && byteCount <= TXN_BYTES_MAX
      if (!fits || !equalBytes(waiting.options.expectHead, head.hash)) break
      if (waiting.first.index !== head.index + 1n) this.#settle(waiting, previousMismatch())
      else group.push(waiting)
      head = group.at(-1)?.last ?? head
    }
    return group
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const { keys } = this.#options
    const last = group.at(-1)?.last
    if (last === undefined || this.#head === undefined) return
    const answer = await this.#transact({
      compare: [unchanged(keys.head, this.#head.revision), ...group.map(({ key }) => unchanged(key, '0'))],
      success: [
        put(keys.head, headBytes(last)),
        ...group.flatMap(({ batch, first }) =>
          batch.map((bytes, place) => put(keys.entry(first.index + BigInt(place)), bytes)),
        ),
        ...group.map(({ key, first, last }) => put(key, spanBytes(first.index, last.index))),
      ],
      failure: [get(keys.head), ...group.map(({ key }) => get(key))],
    })
    if (!answer.succeeded) return this.#learn(answer, group)
    this.#head = { index: last.index, hash: last.hash, revision: answer.revision }
    for (const waiting of group)
      this.#settle(waiting, {
        status: 'appended',
        first: waiting.first.index,
        last: waiting.last.index,
        projected: false,
      })
    this.#onAppended()
  }

  async #look(asked: readonly Waiting[]): Promise<void> {
    const { keys } = this.#options
    const success = [get(keys.head), ...asked.map(({ key }) => get(key))]
    this.#learn(await this.#transact({ success }), asked)
  }

  /** Takes over the head that was read; answers what is in the log already, and what follows neither from it nor from another in line. */
  #learn(answer: TxnAnswer, asked: readonly Waiting[]): void {
    const [head] = answer.ranges[0] ?? []
    this.#head =
      head === undefined ? { ...EMPTY_HEAD, revision: '0' } : { ...parseHead(head.value), revision: head.modRevision }
    const known = { index: this.#head.index, hash: this.#head.hash }
    let follows: LogHead = known
    for (const [place, waiting] of asked.entries()) {
      const [written] = answer.ranges[place + 1] ?? []
      if (written !== undefined) this.#settle(waiting, repeated(written.value))
      else if (equalBytes(waiting.options.expectHead, follows.hash)) follows = waiting.last
      // One of several that race for this head: told of the winner once there is one.
      else if (!equalBytes(waiting.options.expectHead, known.hash))
        this.#settle(waiting, { status: 'conflict', head: known })
    }
  }

  async #transact(txn: Readonly<Record<string, readonly unknown[]>>): Promise<TxnAnswer> {
    return parseTxn(await this.#client.call('/v3/kv/txn', JSON.stringify(txn), this.#options.deadlineMs))
  }

  #settle(waiting: Waiting, result: Proposed | FabricError): void {
    const place = this.#queue.indexOf(waiting)
    if (place >= 0) this.#queue.splice(place, 1)
    if (result instanceof FabricError) waiting.reject(result)
    else waiting.resolve(result)
  }

  /** Without a member everything in line has waited long enough; any other fault is that of the proposals asked about. */
  #refuse(error: unknown, asked: readonly Waiting[]): void {
    const all = error instanceof FabricError && error.detail['reason'] === 'etcd_unreachable'
    for (const waiting of all ? [...this.#queue] : asked) {
      const place = this.#queue.indexOf(waiting)
      if (place >= 0) this.#queue.splice(place, 1)
      waiting.reject(error)
    }
  }
}

function repeated(value: Uint8Array): Proposed {
  return { status: 'repeated', first: parseU64(value, 0), last: parseU64(value, 8), projected: false }
}

/** @throws CF_LEDGER_REFUSED unless the entries follow from each other and the first from the expected head */
function chainEnds(
  batch: readonly Uint8Array[],
  options: ProposeOptions,
  linkOf: EtcdWriterOptions['linkOf'],
): { first: EntryLink; last: EntryLink } {
  const links = batch.map((bytes, place) => options.links?.[place] ?? linkOf(bytes))
  let hash = options.expectHead
  let index: bigint | undefined
  for (const link of links) {
    const follows = link !== undefined && equalBytes(link.previous, hash) && (index ?? link.index) === link.index
    if (!follows) throw previousMismatch()
    hash = link.hash
    index = link.index + 1n
  }
  const [first, last] = [links[0], links.at(-1)]
  if (first === undefined || last === undefined) throw new FabricError('CF_STORE_FAILED', { reason: 'batch_empty' })
  return { first, last }
}

function previousMismatch(): FabricError {
  return new FabricError('CF_LEDGER_REFUSED', { reason: 'previous_mismatch' })
}
