import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256 } from '#core/hash'
import { FabricError } from '../../../../core/errors.ts'
import { digestOf, parseJobId, peerIdOf } from '../../../../core/ids.ts'
import type { StoreWrite } from '../../../../node/runtime/ports.ts'
import { Database } from '../../../../node/stores/database.ts'
import { SqliteRegionLog } from '../../../../node/stores/region-log-sqlite.ts'
import { createStore } from '../../../../node/stores/store.ts'
import { codeOf } from '../../../support/error-code.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { EMPTY_HASH, toyChain, toyEntry, toyLink } from '../../../support/toy-entries.ts'
import { within } from '../../../support/within.ts'

const owner = peerIdOf(new Uint8Array(32).fill(1))
const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const jobId = parseJobId(digestOf(key(9)))
const open = (path: string): { database: Database; log: SqliteRegionLog } => {
  const database = Database.open({ path })
  try {
    return { database, log: new SqliteRegionLog(database, { owner, linkOf: toyLink }) }
  } catch (error) {
    void database.close()
    throw error
  }
}

/** A closed file with a chain in it, changed by somebody else's hand. */
async function tampered(entryCount: number, sql: string): Promise<string> {
  const path = join(tempFolder(), 'node.db')
  const { database, log } = open(path)
  await log.propose(toyChain(entryCount), { expectHead: EMPTY_HASH, idempotencyKey: key(1), projection: [] })
  await database.close()
  const raw = new DatabaseSync(path)
  raw.exec(sql)
  raw.close()
  return path
}

function openCode(path: string): string {
  try {
    void open(path).database.close()
    return 'opened'
  } catch (error) {
    return error instanceof FabricError ? error.code : 'other'
  }
}

test(
  'the name says whose disk it is',
  within(2_000, async () => {
    const { database, log } = open(join(tempFolder(), 'node.db'))
    assert.is(log.name, `sqlite@${owner}`)
    await database.close()
  }),
)

test(
  'what follows from a batch is written in its transaction, or not at all',
  within(2_000, async () => {
    const { database, log } = open(join(tempFolder(), 'node.db'))
    const store = createStore(database)
    assert.ok(jobId)
    const vote = (value: number): StoreWrite => ({ table: 'vote', voter: owner, subject: 's', bytes: key(value) })
    const payload: StoreWrite = { table: 'payload', id: jobId, bytes: key(3) }
    await store.commit([vote(1)])
    const [entry = EMPTY_HASH] = toyChain(1)
    const options = { expectHead: EMPTY_HASH, idempotencyKey: key(1) }
    assert.is(await codeOf(log.propose([entry], { ...options, projection: [payload, vote(2)] })), 'CF_STORE_FAILED')
    assert.is(await log.head(), undefined)
    assert.is(store.payload(jobId), undefined)
    const proposed = await log.propose([entry], { ...options, projection: [payload] })
    assert.equal(proposed.status !== 'conflict' && proposed.projected, true)
    assert.equal(store.payload(jobId), key(3))
    const conflict = await log.propose([toyEntry(1n, EMPTY_HASH)], {
      ...options,
      idempotencyKey: key(2),
      projection: [{ ...payload, bytes: key(4) }],
    })
    assert.is(conflict.status, 'conflict')
    assert.equal(store.payload(jobId), key(3))
    await database.close()
  }),
)

test(
  'a changed, missing or swapped entry among the last ones is seen on opening',
  within(5_000, async () => {
    const swap =
      'UPDATE log_entry SET entry_index = 1000 - entry_index; UPDATE log_entry SET entry_index = entry_index - 991'
    const changes = [
      "UPDATE log_entry SET bytes = CAST(bytes || x'00' AS BLOB) WHERE entry_index = 7",
      'DELETE FROM log_entry WHERE entry_index = 5',
      "UPDATE log_entry SET hash = x'00' WHERE entry_index = 9",
      "UPDATE log_entry SET bytes = x'00' WHERE entry_index = 3",
      swap,
    ]
    for (const change of changes) assert.is(openCode(await tampered(10, change)), 'CF_STORE_FORKED', change)
    assert.is(openCode(await tampered(10, 'SELECT 1')), 'opened')
  }),
)

test(
  'a rewritten old entry is seen when it is read, even with its own hash put right',
  within(5_000, async () => {
    const forged = toyEntry(4n, sha256(toyChain(4)[3] ?? EMPTY_HASH), key(8))
    const path = await tampered(
      600,
      `UPDATE log_entry SET bytes = x'${hex(forged)}', hash = x'${hex(sha256(forged))}' WHERE entry_index = 4`,
    )
    const { database, log } = open(path)
    assert.is(await codeOf(log.read(0n, 10)), 'CF_STORE_FORKED')
    assert.is(await codeOf(log.read(5n, 10)), 'CF_STORE_FORKED')
    assert.is((await log.read(6n, 10)).length, 10)
    await database.close()
  }),
)

test(
  'a missing old entry is seen by a page that begins right after it',
  within(5_000, async () => {
    const { database, log } = open(await tampered(600, 'DELETE FROM log_entry WHERE entry_index = 4'))
    assert.is(await codeOf(log.read(5n, 10)), 'CF_STORE_FORKED')
    assert.is(await codeOf(log.read(4n, 10)), 'CF_STORE_FORKED')
    await database.close()
  }),
)

test(
  'a log cut at its end opens, and a builder on the lost head is told so',
  within(5_000, async () => {
    const { database, log } = open(await tampered(10, 'DELETE FROM log_entry WHERE entry_index > 6'))
    const lost = sha256(toyChain(10)[9] ?? EMPTY_HASH)
    const proposed = await log.propose([toyEntry(10n, lost)], {
      expectHead: lost,
      idempotencyKey: key(2),
      projection: [],
    })
    assert.equal(proposed.status === 'conflict' && proposed.head.index, 6n)
    await database.close()
  }),
)

test(
  'after a restart the same key still gives the first result',
  within(2_000, async () => {
    const path = join(tempFolder(), 'node.db')
    const options = { expectHead: EMPTY_HASH, idempotencyKey: key(1), projection: [] }
    const first = open(path)
    await first.log.propose(toyChain(2), options)
    await first.database.close()
    const { database, log } = open(path)
    const again = await log.propose(toyChain(2), options)
    assert.equal(again.status !== 'conflict' && [again.status, again.first, again.last], ['repeated', 0n, 1n])
    await database.close()
  }),
)

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

test.run()
