/**
 * Kills the leader of three etcd members with -9 again and again while two writers append: every acknowledged entry must be in the log
 * exactly once, what was not acknowledged at most once, and the pause that a kill makes is measured.
 *
 * `node bench/etcd-kill.ts [--rounds 20] [--save]`; ends with status 1 when an entry is lost or doubled or a pause reaches 3 s.
 */
import { parseArgs } from 'node:util'
import { sha256 } from '#core/hash'
import { FabricError } from '../core/errors.ts'
import { parseSwarmId, type SwarmId } from '../core/ids.ts'
import { systemClock } from '../node/runtime/system.ts'
import { EtcdRegionLog } from '../node/stores/region-log-etcd.ts'
import { type EtcdCluster, startEtcd } from '../test/support/etcd.ts'
import { EMPTY_HASH, toyEntry, toyLink } from '../test/support/toy-entries.ts'
import { print, save } from './report.ts'

const WRITERS = 2
const BATCH = 10
const STEADY_MS = 1_500
const PAUSE_MS_MAX = 3_000
const READ_COUNT = 512

type Load = {
  /** Of acknowledged entries. */
  readonly acknowledged: Set<string>
  /** When a proposal was acknowledged. */
  readonly times: number[]
  stopped: boolean
}

const { values } = parseArgs({ options: { rounds: { type: 'string' }, save: { type: 'boolean', default: false } } })
const rounds = Number(values.rounds ?? 20)
const cluster = await startEtcd()
try {
  await trial(cluster)
} finally {
  await cluster.stop()
}

async function trial({ endpoints }: EtcdCluster): Promise<void> {
  const swarmId = swarm()
  const load: Load = { acknowledged: new Set(), times: [], stopped: false }
  const open = () => EtcdRegionLog.open({ endpoints, swarmId, linkOf: toyLink }, { clock: systemClock })
  const logs = await Promise.all(Array.from({ length: WRITERS }, open))
  const writing = Promise.all(logs.map((log, writer) => write(log, writer, load)))
  const kills: number[] = []
  for (let round = 0; round < rounds; round += 1) kills.push(await killLeader())
  load.stopped = true
  await writing
  const pauses = kills.map((killedMs) => pauseAfter(killedMs, load.times))
  const stored = await countsOf(await open())
  const lost = [...load.acknowledged].filter((id) => !stored.has(id)).length
  const doubled = [...stored.values()].filter((count) => count > 1).length
  report(load, pauses, { lost, doubled, stored: stored.size })
}

/** @returns when the leader was killed; the member runs again by the time this resolves */
async function killLeader(): Promise<number> {
  await systemClock.sleep(STEADY_MS)
  const leader = await cluster.leader()
  const killedMs = performance.now()
  await leader.kill('SIGKILL')
  await systemClock.sleep(STEADY_MS)
  leader.start()
  await cluster.leader()
  return killedMs
}

async function write(log: EtcdRegionLog, writer: number, load: Load): Promise<void> {
  for (let serial = 0; !load.stopped; ) {
    const head = await log.head().catch(() => undefined)
    const at = head ?? { index: -1n, hash: EMPTY_HASH }
    const batch: Uint8Array[] = []
    const ids: string[] = []
    for (let place = 0, hash = at.hash; place < BATCH; place += 1) {
      const id = `${writer}.${serial + place}`
      const entry = toyEntry(at.index + 1n + BigInt(place), hash, new TextEncoder().encode(id))
      hash = sha256(entry)
      batch.push(entry)
      ids.push(id)
    }
    if (!(await isAppended(log, batch, at.hash))) continue
    serial += BATCH
    load.times.push(performance.now())
    for (const id of ids) load.acknowledged.add(id)
  }
}

/** Asks with the same key until the outcome is known. */
async function isAppended(log: EtcdRegionLog, batch: readonly Uint8Array[], expectHead: Uint8Array): Promise<boolean> {
  const idempotencyKey = sha256(batch[0] ?? expectHead)
  for (;;) {
    try {
      const { status } = await log.propose(batch, { expectHead, idempotencyKey, projection: [] })
      return status !== 'conflict'
    } catch (error) {
      if (!(error instanceof FabricError) || error.detail['reason'] !== 'etcd_unreachable') throw error
    }
  }
}

/** The longest time without an acknowledgement that begins around a kill. */
function pauseAfter(killedMs: number, times: readonly number[]): number {
  const before = times.findLastIndex((timeMs) => timeMs <= killedMs)
  const near = times.slice(Math.max(before, 0)).filter((timeMs) => timeMs < killedMs + 10_000)
  return Math.max(0, ...near.slice(1).map((timeMs, place) => timeMs - (near[place] ?? timeMs)))
}

async function countsOf(log: EtcdRegionLog): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (let from = 0n; ; ) {
    const records = await log.read(from, READ_COUNT)
    for (const { bytes } of records) {
      const id = new TextDecoder().decode(bytes.subarray(40))
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    if (records.length === 0) break
    from += BigInt(records.length)
  }
  await log.close()
  return counts
}

type Found = { readonly lost: number; readonly doubled: number; readonly stored: number }

function report(load: Load, pauses: readonly number[], { lost, doubled, stored }: Found): void {
  const result = {
    bench: 'etcd-kill',
    figures: [{ name: `pause after the leader is killed`, unit: 'ms', values: pauses }],
    ratios: [
      { name: 'entries acknowledged', value: load.acknowledged.size },
      { name: 'entries in the log', value: stored },
      { name: 'acknowledged entries lost', value: lost },
      { name: 'entries doubled', value: doubled },
    ],
  }
  print(result)
  if (values.save) save(result)
  if (lost > 0 || doubled > 0 || Math.max(...pauses) >= PAUSE_MS_MAX) process.exitCode = 1
}

function swarm(): SwarmId {
  const swarmId = parseSwarmId('1'.padStart(64, '0'))
  if (swarmId === undefined) throw new Error('no swarm id')
  return swarmId
}
