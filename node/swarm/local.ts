/** A swarm of one machine: the same roles, joined by memory instead of a network. */
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Genesis, genesisRoster } from '../../core/log/genesis.ts'
import { rankedNatively } from '../../native/index.ts'
import { staticRosters } from '../jobs/job-roster.ts'
import { createMemoryNetwork } from '../mesh/memory.ts'
import type { Clock, PeerTransport, Random, Store } from '../runtime/ports.ts'
import type { Logger } from '../runtime/telemetry.ts'
import type { Database } from '../stores/database.ts'
import { entryLinks } from '../stores/entry-link.ts'
import { LogLedger } from '../stores/ledger.ts'
import { SqliteRegionLog } from '../stores/region-log-sqlite.ts'
import type { LocalKeys } from './genesis.ts'
import type { SwarmParts } from './networked.ts'

export type LocalPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly database: Database
  readonly store: Store
  readonly keys: LocalKeys
  readonly fatal: (error: unknown) => void
  readonly undo: (() => Promise<void>)[]
}
export type LocalSwarm = SwarmParts & { readonly endpoint: (key: KeyPair) => PeerTransport }

export async function openLocal(genesis: Genesis, ports: LocalPorts): Promise<LocalSwarm> {
  const { database, keys, store, clock, random, fatal, undo } = ports
  const log = new SqliteRegionLog(database, { owner: keys.node.peer, linkOf: entryLinks(genesis.swarmId) })
  const ledger = await LogLedger.open({ genesis }, { log, store, clock })
  undo.push(() => ledger.close())
  const network = createMemoryNetwork({}, { clock, random, onBug: fatal })
  const announce = (why: string): void => ports.log.info('native_unused', { why })
  const rosters = staticRosters(rankedNatively(genesisRoster(genesis), { announce }))
  return { genesis, ledger, log, rosters, endpoint: ({ peer }) => network.endpoint(peer) }
}
