/**
 * Commits transfers without end and prints the key of each one only after the ledger has acknowledged it. Killed by the crash test.
 * Arguments: database path, genesis creation time, first number.
 */
import { userAccount } from '../../../../core/ids.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { Database } from '../../../../node/stores/database.ts'
import { entryLinks } from '../../../../node/stores/entry-link.ts'
import { LogLedger } from '../../../../node/stores/ledger.ts'
import { SqliteRegionLog } from '../../../../node/stores/region-log-sqlite.ts'
import { createStore } from '../../../../node/stores/store.ts'
import { ALICE, BOB, LogSwarm } from '../../../support/log-swarm.ts'

const [path = '', createdMs = '0', first = '0'] = process.argv.slice(2)
const LANES = 4

const swarm = new LogSwarm({ createdMs: BigInt(createdMs) })
const { genesis } = swarm
const database = Database.open({ path })
const log = new SqliteRegionLog(database, { owner: ALICE.peer, linkOf: entryLinks(genesis.swarmId) })
const ledger = await LogLedger.open({ genesis }, { log, store: createStore(database), clock: systemClock })
const [from, to] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
let next = Number(first)

async function lane(): Promise<never> {
  for (;;) {
    const idempotencyKey = `n${next}`
    next += 1
    const body = swarm.direct({ kind: 'transfer', from, to, amount: 1n, idempotencyKey }, ALICE)
    const result = await ledger.append('transfer', body, ({ hash }) => [
      { table: 'work', worker: ALICE.peer, subject: idempotencyKey, bytes: Buffer.from(hash, 'hex') },
    ])
    if (result.status === 'applied') console.log(idempotencyKey)
  }
}
await Promise.all(Array.from({ length: LANES }, lane))
