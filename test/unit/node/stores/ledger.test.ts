import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { nodeAccount, userAccount } from '../../../../core/ids.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import { inviteCodec, inviteSpendCodec } from '../../../../core/log/bodies.ts'
import { policyIdFor, policyOf } from '../../../../core/log/policies.ts'
import { policyIdOf, policyTableCodec } from '../../../../core/verification/policy-table.ts'
import type { RegionLog, Store } from '../../../../node/runtime/ports.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { Database } from '../../../../node/stores/database.ts'
import { entryLinks } from '../../../../node/stores/entry-link.ts'
import { LogLedger } from '../../../../node/stores/ledger.ts'
import { SqliteRegionLog } from '../../../../node/stores/region-log-sqlite.ts'
import { createStore } from '../../../../node/stores/store.ts'
import { codeOf } from '../../../support/error-code.ts'
import { ALICE, BOB, LogSwarm, MINT_KEY, STARTER } from '../../../support/log-swarm.ts'
import { createMemoryRegionLog } from '../../../support/memory-region-log.ts'
import { createMemoryStore } from '../../../support/memory-store.ts'
import { digestNamed } from '../../../support/people.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

/** The clock of the log's tests: wall time of the swarm, real waiting. */
const swarm = new LogSwarm({ createdMs: BigInt(Date.now()) })
const { genesis } = swarm
const expiresMs = BigInt(Date.now() + 600_000)
const clock = systemClock
const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]

type Node = { readonly ledger: LogLedger; readonly store: Store; readonly log: RegionLog; close(): Promise<void> }

async function openNode(path: string): Promise<Node> {
  const database = Database.open({ path })
  try {
    const log = new SqliteRegionLog(database, { owner: ALICE.peer, linkOf: entryLinks(genesis.swarmId) })
    const store = createStore(database)
    const ledger = await LogLedger.open({ genesis }, { log, store, clock })
    return { ledger, store, log, close: () => ledger.close().then(() => store.close()) }
  } catch (error) {
    await database.close()
    throw error
  }
}
const newPath = (): string => join(tempFolder(), 'node.db')
const pay = (idempotencyKey: string, amount = 10n): Uint8Array =>
  swarm.direct({ kind: 'transfer', from: alice, to: bob, amount, idempotencyKey }, ALICE)
const reasonOf = (result: Applied | Refused): string => (result.status === 'refused' ? result.reason : result.status)
const balance = (ledger: LogLedger, account: typeof alice): bigint => ledger.state.accounts.get(account)?.balance ?? 0n

test(
  'opening an empty log writes the genesis entry, opening again does not',
  within(5_000, async () => {
    const path = newPath()
    const first = await openNode(path)
    assert.is(first.ledger.state.head.index, 0n)
    assert.is(balance(first.ledger, alice), STARTER)
    await first.close()
    const again = await openNode(path)
    assert.is(again.ledger.state.head.index, 0n)
    assert.is(again.store.transfers({ limit: 9 }).length, 1)
    await again.close()
  }),
)

test(
  'appends of one tick are one batch, each with its own answer',
  within(5_000, async () => {
    const node = await openNode(newPath())
    const appends = [pay('a'), pay('b'), pay('a'), pay('a', 11n), pay('c', STARTER * 2n), pay('d')].map((body) =>
      node.ledger.append('transfer', body),
    )
    const results = await Promise.all(appends)
    assert.equal(results.map(reasonOf), [
      'applied',
      'applied',
      'idempotency_repeat',
      'idempotency_conflict',
      'insufficient_credit',
      'applied',
    ])
    const [first, , repeat] = results
    assert.is(repeat?.status === 'refused' && repeat.entryHash, first?.status === 'applied' && first.hash)
    assert.is(balance(node.ledger, bob), 30n)
    assert.is(node.ledger.state.head.index, 3n)
    assert.is(
      node.store.transfers({ limit: 1, hash: (first?.status === 'applied' && first.hash) || '' })[0]?.idempotencyKey,
      'a',
    )
    await node.close()
  }),
)

test(
  'a restarted node knows balances, jobs, nonces and keys, and its audit is clean',
  within(5_000, async () => {
    const path = newPath()
    const first = await openNode(path)
    const hold = await first.ledger.append('hold', swarm.holdBody({ nonce: 5n, expiresMs }))
    await first.ledger.append('mint', swarm.mint(bob, 77n, 'm'))
    await first.ledger.append('transfer', pay('a'))
    const { head } = first.ledger.state
    await first.close()
    const { ledger, store, close } = await openNode(path)
    assert.equal(ledger.state.head, head)
    assert.is(balance(ledger, bob), 87n)
    const again = await ledger.append('hold', swarm.holdBody({ nonce: 5n, expiresMs }))
    assert.equal([reasonOf(again), again.jobId], ['job_exists', hold.jobId])
    assert.is(
      reasonOf(await ledger.append('hold', swarm.holdBody({ nonce: 5n, expiresMs, maxTokens: 9 }))),
      'nonce_used',
    )
    assert.is(reasonOf(await ledger.append('transfer', pay('a'))), 'idempotency_repeat')
    assert.ok((ledger.state.accounts.get(alice)?.held ?? 0n) > 0n)
    assert.equal(await ledger.audit(), {
      zeroSum: true,
      total: 0n,
      accounts: 3,
      entries: 4n,
      replayMatches: true,
      openHolds: 1,
    })
    assert.is(store.transfers({ limit: 9, account: bob }).length, 2)
    await close()
  }),
)

test(
  'a restarted node judges by the thresholds that the log had, and its audit is clean',
  within(5_000, async () => {
    const path = newPath()
    const first = await openNode(path)
    const table = (engine: string) => ({ model: digestNamed('model'), engine, rows: [] })
    for (const engine of ['earlier', 'later']) {
      const body = sealAs(policyTableCodec, table(engine), genesis.swarmId, MINT_KEY)
      assert.is(reasonOf(await first.ledger.append('policy', body)), 'applied')
    }
    await first.close()
    const { ledger, close } = await openNode(path)
    const policyId = (engine: string) => policyIdOf(policyTableCodec.encode(table(engine)))
    assert.is(policyIdFor(ledger.state, digestNamed('model')), policyId('later'))
    assert.equal(policyOf(ledger.state, { policyId: policyId('earlier') }), table('earlier'))
    assert.is((await ledger.audit()).replayMatches, true)
    await close()
  }),
)

test(
  'rows alongside an entry are written with it, and not when it is refused',
  within(5_000, async () => {
    const node = await openNode(newPath())
    const alongside = (applied: Applied) =>
      [{ table: 'work', worker: ALICE.peer, subject: applied.hash, bytes: Uint8Array.of(1) }] as const
    const result = await node.ledger.append('transfer', pay('a'), alongside)
    assert.equal(result.status === 'applied' && node.store.work(ALICE.peer, result.hash), Uint8Array.of(1))
    const called: unknown[] = []
    const refused = await node.ledger.append('transfer', pay('b', STARTER * 2n), (applied) => {
      called.push(applied)
      return []
    })
    assert.equal([reasonOf(refused), called.length], ['insufficient_credit', 0])
    await node.close()
  }),
)

test(
  'an entry whose own rows cannot be made is not written, its neighbours are',
  within(5_000, async () => {
    const node = await openNode(newPath())
    const bad = node.ledger.append('transfer', pay('bad'), () => {
      throw new FabricError('CF_JOB_QUEUE_FULL')
    })
    const good = node.ledger.append('transfer', pay('good'))
    assert.is(await codeOf(bad), 'CF_JOB_QUEUE_FULL')
    assert.is(reasonOf(await good), 'applied')
    assert.is(balance(node.ledger, bob), 10n)
    assert.is((await node.ledger.audit()).replayMatches, true)
    await node.close()
  }),
)

test(
  'a commit that fails changes neither memory nor disk, and the same request works later',
  within(5_000, async () => {
    const node = await openNode(newPath())
    await node.store.commit([{ table: 'vote', voter: ALICE.peer, subject: 's', bytes: Uint8Array.of(1) }])
    const clash = () => [{ table: 'vote', voter: ALICE.peer, subject: 's', bytes: Uint8Array.of(2) }] as const
    assert.is(await codeOf(node.ledger.append('transfer', pay('a'), clash)), 'CF_STORE_FAILED')
    assert.equal([balance(node.ledger, bob), node.ledger.state.head.index], [0n, 0n])
    assert.is(reasonOf(await node.ledger.append('transfer', pay('a'))), 'applied')
    assert.is((await node.ledger.audit()).replayMatches, true)
    await node.close()
  }),
)

test(
  'an entry over the size limit is refused, not a crash',
  within(5_000, async () => {
    const node = await openNode(newPath())
    assert.is(reasonOf(await node.ledger.append('transfer', new Uint8Array(5_000))), 'entry_too_large')
    assert.is(
      reasonOf(
        await node.ledger.append(
          'invite',
          inviteCodec.encode({ id: new Uint8Array(16), expiresMs, forPeer: new Uint8Array(), grant: 0n }),
        ),
      ),
      'body_malformed',
    )
    await node.close()
  }),
)

test(
  'more appends than the queue holds are refused; after close none is taken',
  within(5_000, async () => {
    const log = createMemoryRegionLog({ linkOf: entryLinks(genesis.swarmId) })
    const ledger = await LogLedger.open({ genesis, queueCountMax: 2 }, { log, store: createMemoryStore(), clock })
    const codes = await Promise.all(['a', 'b', 'c'].map((key) => codeOf(ledger.append('transfer', pay(key)))))
    assert.equal(codes, ['resolved', 'resolved', 'CF_STORE_QUEUE_FULL'])
    const last = ledger.append('transfer', pay('last'))
    await ledger.close()
    assert.is(reasonOf(await last), 'applied')
    assert.is(await codeOf(ledger.append('transfer', pay('late'))), 'CF_CONTROL_SHUTTING_DOWN')
  }),
)

test(
  'two writers of one remote log agree: each catches up on conflict and nothing is paid twice',
  within(5_000, async () => {
    const log = createMemoryRegionLog({ linkOf: entryLinks(genesis.swarmId) })
    const stores = [createMemoryStore(), createMemoryStore()]
    const ledgers: LogLedger[] = []
    for (const store of stores) ledgers.push(await LogLedger.open({ genesis }, { log, store, clock }))
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
    const results = await Promise.all(
      ledgers.flatMap((ledger) => keys.map((key) => ledger.append('transfer', pay(key)))),
    )
    assert.is(results.filter(({ status }) => status === 'applied').length, 20)
    assert.is(results.filter((result) => reasonOf(result) === 'idempotency_repeat').length, 20)
    // One more from each brings both to the same head.
    for (const ledger of [...ledgers, ...ledgers])
      await ledger.append('mint', swarm.mint(nodeAccount(BOB.peer), 1n, `m${ledger.state.head.index}`))
    for (const ledger of ledgers) assert.is(balance(ledger, bob), 200n)
    const last = ledgers[1]
    assert.equal(await last?.audit(), {
      zeroSum: true,
      total: 0n,
      accounts: 4,
      entries: last && last.state.head.index + 1n,
      replayMatches: true,
      openHolds: 0,
    })
  }),
)

test(
  'tables that are behind the log catch up on opening',
  within(5_000, async () => {
    const log = createMemoryRegionLog({ linkOf: entryLinks(genesis.swarmId) })
    const writer = await LogLedger.open({ genesis }, { log, store: createMemoryStore(), clock })
    for (let index = 0; index < 5; index += 1) await writer.append('transfer', pay(`k${index}`))
    const store = createMemoryStore()
    const reader = await LogLedger.open({ genesis }, { log, store, clock })
    assert.equal(reader.state.head, writer.state.head)
    assert.is(store.transfers({ limit: 99 }).length, 6)
    assert.is((await reader.audit()).replayMatches, true)
  }),
)

test(
  'another genesis, a rolled-back log and a changed table are all seen',
  within(8_000, async () => {
    const path = newPath()
    const node = await openNode(path)
    for (const key of ['a', 'b', 'c']) await node.ledger.append('transfer', pay(key))
    await node.close()
    const other = new LogSwarm({ name: 'other' }).genesis
    const database = Database.open({ path })
    const log = new SqliteRegionLog(database, { owner: ALICE.peer, linkOf: entryLinks(genesis.swarmId) })
    assert.is(
      await codeOf(LogLedger.open({ genesis: other }, { log, store: createStore(database), clock })),
      'CF_STORE_FORKED',
    )
    await database.close()
    tamper(path, `UPDATE account SET bytes = (SELECT bytes FROM account WHERE id = '${alice}') WHERE id = '${bob}'`)
    const richer = await openNode(path)
    const audit = await richer.ledger.audit()
    assert.equal([audit.zeroSum, audit.replayMatches], [false, false])
    await richer.close()
    tamper(path, 'DELETE FROM log_entry WHERE entry_index = 3')
    assert.is(await codeOf(openNode(path)), 'CF_STORE_FORKED')
  }),
)

test(
  'a history row that was changed, removed or added fails the audit',
  within(8_000, async () => {
    const columns = 'id, time_ms, kind, debit, credit, amount, reason, job_id, node_id, idempotency_key, hash'
    const add = (sequence: number): string =>
      `INSERT INTO transfer SELECT ${sequence}, ${columns} FROM transfer WHERE sequence = 64`
    // Entry 4 spends an invite: it moves no money, so its places in the history stay empty.
    const invite = sealAs(
      inviteCodec,
      { id: new Uint8Array(16), expiresMs, forPeer: new Uint8Array(), grant: 0n },
      genesis.swarmId,
      MINT_KEY,
    )
    const spend = sealAs(inviteSpendCodec, { invite, user: BOB.peer, consent: new Uint8Array() }, genesis.swarmId, BOB)
    const changes = [
      'UPDATE transfer SET amount = amount + 1 WHERE sequence = 64',
      'DELETE FROM transfer WHERE sequence = 128',
      ...[71, 4 * 64, 5 * 64].map(add),
      "INSERT INTO nonce VALUES ('x/1', x'00')",
    ]
    for (const change of changes) {
      const path = newPath()
      const node = await openNode(path)
      for (const key of ['a', 'b', 'c']) await node.ledger.append('transfer', pay(key))
      assert.is(reasonOf(await node.ledger.append('invite', spend)), 'applied')
      assert.is((await node.ledger.audit()).replayMatches, true)
      await node.close()
      tamper(path, change)
      const changed = await openNode(path)
      assert.is((await changed.ledger.audit()).replayMatches, false, change)
      await changed.close()
    }
  }),
)

test(
  'an audit while others append is clean',
  within(15_000, async () => {
    const node = await openNode(newPath())
    const appends: Promise<unknown>[] = []
    for (let index = 0; index < 300; index += 1) appends.push(node.ledger.append('transfer', pay(`k${index}`, 1n)))
    const auditing = node.ledger.audit()
    for (let index = 300; index < 400; index += 1) {
      appends.push(node.ledger.append('transfer', pay(`k${index}`, 1n)))
      if (index % 24 === 0) await clock.sleep(1)
    }
    assert.equal([(await auditing).replayMatches, (await auditing).zeroSum], [true, true])
    await Promise.all(appends)
    assert.is(balance(node.ledger, bob), 400n)
    assert.is((await node.ledger.audit()).entries, 401n)
    await node.close()
  }),
)

test(
  'only a mint key mints',
  within(5_000, async () => {
    const node = await openNode(newPath())
    assert.is(reasonOf(await node.ledger.append('mint', swarm.mint(alice, 5n, 'x', ALICE))), 'authority_missing')
    assert.is(reasonOf(await node.ledger.append('mint', swarm.mint(alice, 5n, 'x', MINT_KEY))), 'applied')
    await node.close()
  }),
)

function tamper(path: string, sql: string): void {
  const raw = new DatabaseSync(path)
  raw.exec(sql)
  raw.close()
}

test.run()
