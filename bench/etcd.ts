/**
 * The region log on three etcd members against a bare client that sends the same transactions: the same cluster, member, compares,
 * keys and values, one in flight. Interleaved in one run.
 *
 * The bare client knows its revisions and reads nothing of an answer but whether it succeeded.
 */
import { Pool } from 'undici'
import { sha256 } from '#core/hash'
import { parseSwarmId, type SwarmId } from '../core/ids.ts'
import type { EntryLink } from '../node/runtime/ports.ts'
import { systemClock } from '../node/runtime/system.ts'
import { EtcdRegionLog } from '../node/stores/region-log-etcd.ts'
import { base64Of, EtcdKeys, headBytes, spanBytes } from '../node/stores/region-log-etcd-wire.ts'
import { startEtcd } from '../test/support/etcd.ts'
import { EMPTY_HASH, toyEntry, toyLink } from '../test/support/toy-entries.ts'
import { type Figure, median, type Result } from './report.ts'

const BATCHES = [1, 10, 100]
const ENTRY_PAYLOAD_BYTES = 400
/** Transactions of one timing: long enough that one slow fsync does not decide. */
const TRANSACTIONS = 12

type Batch = { readonly entries: readonly Uint8Array[]; readonly links: readonly EntryLink[] }
type Client = { append(batch: Batch): Promise<void> }

export async function etcdBench(runs: number): Promise<Result> {
  const cluster = await startEtcd()
  try {
    const leader = await cluster.leader()
    const endpoints = [leader.endpoint, ...cluster.endpoints.filter((endpoint) => endpoint !== leader.endpoint)]
    const ours = { chain: new Chain(), client: await logClient(endpoints, swarm(1)) }
    const bare = { chain: new Chain(), client: bareClient(leader.endpoint, swarm(2)) }
    const figures: Figure[] = []
    for (const count of BATCHES) {
      const [own, other]: [number[], number[]] = [[], []]
      for (let run = -2; run < runs; run += 1) {
        const [first, second] = [await timed(ours, count), await timed(bare, count)]
        if (run < 0) continue
        own.push(first)
        other.push(second)
      }
      figures.push({ name: `region log, batch ${count}`, unit: 'records/s', values: own })
      figures.push({ name: `bare client, batch ${count}`, unit: 'records/s', values: other })
    }
    return { bench: 'etcd', figures, ratios: BATCHES.map((count, at) => ratioOf(count, figures.slice(at * 2))) }
  } finally {
    await cluster.stop()
  }
}

function ratioOf(count: number, [own, other]: readonly Figure[]): { name: string; value: number } {
  return { name: `of a bare client, batch ${count}`, value: median(own?.values ?? []) / median(other?.values ?? []) }
}

async function timed(side: { readonly chain: Chain; readonly client: Client }, count: number): Promise<number> {
  const batches = Array.from({ length: TRANSACTIONS }, () => side.chain.next(count))
  const startMs = performance.now()
  for (const batch of batches) await side.client.append(batch)
  return (TRANSACTIONS * count * 1000) / (performance.now() - startMs)
}

/** Entries made before the clock starts: both sides only store them. */
class Chain {
  #index = 0n
  #hash = EMPTY_HASH

  next(count: number): Batch {
    const links: EntryLink[] = []
    const entries = Array.from({ length: count }, () => {
      const entry = toyEntry(
        this.#index,
        this.#hash,
        new Uint8Array(ENTRY_PAYLOAD_BYTES).fill(Number(this.#index % 251n)),
      )
      const hash = sha256(entry)
      links.push({ index: this.#index, previous: this.#hash, hash })
      this.#index += 1n
      this.#hash = hash
      return entry
    })
    return { entries, links }
  }
}

async function logClient(endpoints: readonly string[], swarmId: SwarmId): Promise<Client> {
  const log = await EtcdRegionLog.open({ endpoints, swarmId, linkOf: toyLink }, { clock: systemClock })
  return {
    async append({ entries, links }) {
      const [first] = links
      const expectHead = first?.previous ?? EMPTY_HASH
      const idempotencyKey = sha256(expectHead)
      const proposed = await log.propose(entries, { expectHead, idempotencyKey, links, projection: [] })
      if (proposed.status !== 'appended') throw new Error(proposed.status)
    },
  }
}

function bareClient(origin: string, swarmId: SwarmId): Client {
  const pool = new Pool(origin, { connections: 1 })
  const keys = new EtcdKeys(swarmId)
  let revision = '0'
  return {
    async append({ entries, links }) {
      const [first, last] = [links[0], links.at(-1)]
      if (first === undefined || last === undefined) throw new Error('an empty batch')
      const key = keys.proposal(sha256(first.previous))
      const equal = (of: string, modRevision: string) => ({
        ...{ key: of, target: 'MOD', result: 'EQUAL', mod_revision: modRevision },
      })
      const set = (of: string, value: Uint8Array) => ({ request_put: { key: of, value: base64Of(value) } })
      const body = JSON.stringify({
        compare: [equal(keys.head, revision), equal(key, '0')],
        success: [
          set(keys.head, headBytes(last)),
          ...entries.map((bytes, place) => set(keys.entry(first.index + BigInt(place)), bytes)),
          set(key, spanBytes(first.index, last.index)),
        ],
        failure: [{ request_range: { key: keys.head } }, { request_range: { key } }],
      })
      const answer = await pool.request({ method: 'POST', path: '/v3/kv/txn', body })
      const text = await answer.body.text()
      if (!text.includes('"succeeded":true')) throw new Error(text)
      revision = /"revision":"(\d+)"/.exec(text)?.[1] ?? '0'
    },
  }
}

function swarm(serial: number): SwarmId {
  const swarmId = parseSwarmId(serial.toString(16).padStart(64, '0'))
  if (swarmId === undefined) throw new Error('no swarm id')
  return swarmId
}
