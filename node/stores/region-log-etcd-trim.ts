/** Snapshots and trimming of a region log in etcd: what a snapshot covers may go, the head always stays. */
import { concatBytes, u64be } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { EtcdClient } from './region-log-etcd-client.ts'
import {
  drop,
  type EtcdKeys,
  get,
  type KeyValue,
  type Operation,
  parseHead,
  parseTxn,
  parseU64,
  put,
  range,
  type TxnAnswer,
  unchanged,
} from './region-log-etcd-wire.ts'

type Bounds = { readonly deadlineMs: number }

/** Entries that one transaction deletes: a larger one would hold up the cluster. */
const STRIDE = 4_096n
const PAGE_COUNT = 512
const DROP_COUNT_MAX = 100
/** Others may move the same mark between reading and writing; this often in a row is a fault. */
const RACE_COUNT_MAX = 8

export async function recordSnapshot(
  client: EtcdClient,
  keys: EtcdKeys,
  { upTo, digest, deadlineMs }: Bounds & { readonly upTo: bigint; readonly digest: Uint8Array },
): Promise<void> {
  const value = concatBytes(u64be(upTo), digest)
  await moveMark(client, { key: keys.snapshot, mark: upTo, value, deadlineMs }, [get(keys.head)], (read) => {
    const [head] = read[0] ?? []
    if (head === undefined || upTo > parseHead(head.value).index)
      throw new FabricError('CF_STORE_FAILED', { reason: 'snapshot_beyond_head', upTo })
  })
}

/**
 * Deletes entries and idempotency keys below an index, then lets etcd forget the revisions before.
 *
 * Why the mark is moved first: a reader between the steps is told "trimmed" and never meets a hole.
 */
export async function trimEtcd(
  client: EtcdClient,
  keys: EtcdKeys,
  { before, deadlineMs }: Bounds & { readonly before: bigint },
): Promise<void> {
  const facts = await ask(client, { success: [get(keys.head), get(keys.snapshot), get(keys.first)] }, deadlineMs)
  const [[head] = [], [snapshot] = [], [first] = []] = facts.ranges
  const covered = snapshot === undefined ? -1n : parseU64(snapshot.value, 0)
  if (head === undefined || snapshot === undefined || before > covered + 1n)
    throw new FabricError('CF_STORE_FAILED', { reason: 'trim_without_snapshot', before })
  const headIndex = parseHead(head.value).index
  const mark = before < headIndex ? before : headIndex
  await moveMark(client, { key: keys.first, mark, value: u64be(mark), deadlineMs }, [], () => {})
  // What a trim that broke off left below its mark goes first, in one sweep: normally nothing.
  const kept = first === undefined ? 0n : parseU64(first.value, 0)
  await ask(client, { success: [drop(keys.entry(0n), keys.entry(kept))] }, deadlineMs)
  for (let from = kept; from < mark; from += STRIDE) {
    const end = from + STRIDE < mark ? from + STRIDE : mark
    await ask(client, { success: [drop(keys.entry(from), keys.entry(end))] }, deadlineMs)
  }
  await dropProposals(client, keys, { before: mark, deadlineMs })
  await compact(client, facts.revision, deadlineMs)
}

/** Sets a key that begins with a number to a larger one; a smaller or equal one changes nothing. */
async function moveMark(
  client: EtcdClient,
  { key, mark, value, deadlineMs }: Bounds & { key: string; mark: bigint; value: Uint8Array },
  alsoRead: readonly Operation[],
  check: (read: TxnAnswer['ranges']) => void,
): Promise<void> {
  for (let raceCount = 0; raceCount < RACE_COUNT_MAX; raceCount += 1) {
    const [[held] = [], ...read] = (await ask(client, { success: [get(key), ...alsoRead] }, deadlineMs)).ranges
    check(read)
    if (held !== undefined && parseU64(held.value, 0) >= mark) return
    const compare = [unchanged(key, held?.modRevision ?? '0')]
    const moved = await ask(client, { compare, success: [put(key, value)] }, deadlineMs)
    if (moved.succeeded) return
  }
  throw new FabricError('CF_STORE_FAILED', { reason: 'etcd_contended' })
}

async function dropProposals(
  client: EtcdClient,
  keys: EtcdKeys,
  { before, deadlineMs }: Bounds & { readonly before: bigint },
): Promise<void> {
  const [start, end] = keys.proposals
  for (let from = start; ; ) {
    const { ranges } = await ask(client, { success: [range(from, end, PAGE_COUNT)] }, deadlineMs)
    const page: readonly KeyValue[] = ranges[0] ?? []
    const old = page.filter(({ value }) => parseU64(value, 8) < before)
    for (let place = 0; place < old.length; place += DROP_COUNT_MAX)
      await ask(client, { success: old.slice(place, place + DROP_COUNT_MAX).map(({ key }) => drop(key)) }, deadlineMs)
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE_COUNT) return
    from = keyAfter(last.key)
  }
}

/** The revisions below this one are never read: a tail looks at the keys themselves. */
async function compact(client: EtcdClient, revision: string, deadlineMs: number): Promise<void> {
  try {
    await client.call('/v3/kv/compaction', JSON.stringify({ revision }), deadlineMs)
  } catch (error) {
    // Another validator may have compacted further already.
    const refused = error instanceof FabricError && error.detail['reason'] === 'etcd_refused'
    if (!refused) throw error
  }
}

function keyAfter(key: string): string {
  return Buffer.concat([Buffer.from(key, 'base64'), Buffer.of(0)]).toString('base64')
}

async function ask(
  client: EtcdClient,
  txn: Readonly<Record<string, readonly unknown[]>>,
  deadlineMs: number,
): Promise<TxnAnswer> {
  return parseTxn(await client.call('/v3/kv/txn', JSON.stringify(txn), deadlineMs))
}
