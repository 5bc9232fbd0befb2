import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { userAccount } from '../../../../core/ids.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { Database } from '../../../../node/stores/database.ts'
import { entryLinks } from '../../../../node/stores/entry-link.ts'
import { LogLedger } from '../../../../node/stores/ledger.ts'
import { SqliteRegionLog } from '../../../../node/stores/region-log-sqlite.ts'
import { createStore } from '../../../../node/stores/store.ts'
import { ALICE, BOB, LogSwarm } from '../../../support/log-swarm.ts'
import { startNode } from '../../../support/node-process.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const COMMITTER = new URL('./committer.program.ts', import.meta.url)
const KILL_COUNT = 4
const KILL_MS_MAX = 250
const random = seededRandom(testSeed())

/** Runs the committer until a random moment after its first acknowledgement. @returns the keys that it acknowledged */
async function runAndKill(path: string, createdMs: bigint, first: number): Promise<readonly string[]> {
  const program = startNode(COMMITTER, [path, String(createdMs), String(first)])
  const keys: string[] = []
  for await (const key of program.lines) {
    keys.push(key)
    if (keys.length === 1) void systemClock.sleep(random.below(KILL_MS_MAX)).then(() => program.kill('SIGKILL'))
  }
  await program.exited
  return keys
}

test(
  'killed at random moments, the ledger loses nothing it acknowledged and its books sum to zero',
  within(60_000, async () => {
    const path = join(tempFolder(), 'node.db')
    const createdMs = BigInt(Date.now())
    const { genesis } = new LogSwarm({ createdMs })
    const acknowledged: string[] = []
    for (let kill = 0; kill < KILL_COUNT; kill += 1) {
      const keys = await runAndKill(path, createdMs, kill * 1_000_000)
      assert.ok(keys.length > 0, 'it acknowledged something before it was killed')
      acknowledged.push(...keys)

      const database = Database.open({ path })
      const log = new SqliteRegionLog(database, { owner: ALICE.peer, linkOf: entryLinks(genesis.swarmId) })
      const store = createStore(database)
      const ledger = await LogLedger.open({ genesis }, { log, store, clock: systemClock })
      const audit = await ledger.audit()
      assert.equal([audit.zeroSum, audit.replayMatches], [true, true])
      for (const key of acknowledged) {
        const use = ledger.state.idempotency.get(`${ALICE.peer}/${key}`)
        const beside = store.work(ALICE.peer, key)
        assert.is(use?.entryHash, beside && Buffer.from(beside).toString('hex'), `${key} and the row beside it`)
      }
      // One micro-credit for each: what is beyond the acknowledged was committed and not yet said.
      const paid = ledger.state.accounts.get(userAccount(BOB.peer))?.balance ?? 0n
      assert.ok(paid >= BigInt(acknowledged.length))
      assert.is(BigInt(store.ledgerCount('idempotency')), paid)
      await store.close()
    }
    console.log(`${acknowledged.length} acknowledged, none lost`)
  }),
)

test.run()
