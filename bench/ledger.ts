/**
 * Appending direct transfers to the ledger against the bare SQLite insert of exactly the rows that it wrote for them: the same
 * schema, PRAGMAs, statements, groups and fsyncs, in a second database that grows alike. Interleaved in one run.
 *
 * "signatures known" is the daemon's case: what it sealed or has opened before is not verified again. "storing alone" is the part of
 * that in which the log writes entries and tables, without applying, encoding and hashing them.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { sealAs } from '../core/identity/envelope.ts'
import { type KeyPair, keyPairFromSeed } from '../core/identity/keys.ts'
import { forgetSignatures } from '../core/identity/signatures.ts'
import { digestOf, keyOf, userAccount } from '../core/ids.ts'
import { DEFAULT_PRICES } from '../core/ledger/pricing.ts'
import { transferCodec } from '../core/log/bodies.ts'
import { DEFAULT_POLICY, type Genesis, makeGenesis } from '../core/log/genesis.ts'
import { ROLE } from '../core/roster/roster.ts'
import type { Proposed, ProposeOptions } from '../node/runtime/ports.ts'
import { systemClock } from '../node/runtime/system.ts'
import { Database } from '../node/stores/database.ts'
import { entryLinks } from '../node/stores/entry-link.ts'
import { LogLedger } from '../node/stores/ledger.ts'
import { SqliteRegionLog } from '../node/stores/region-log-sqlite.ts'
import { createStore } from '../node/stores/store.ts'
import { type Figure, median, type Result } from './report.ts'

const BATCHES = [1, 10, 100, 1_000]
const USER_COUNT = 16
const STARTER_MICRO = 1_000_000_000n
/** What one append may bring to one transaction, as the ledger does it by itself. */
const GROUP_COUNT = 256
const TABLES = ['log_entry', 'log_proposal', 'account', 'idempotency', 'transfer', 'ledger_head']
const KEYS: Readonly<Record<string, string>> = { log_entry: 'entry_index', log_proposal: 'last', transfer: 'sequence' }
const UPSERTED = new Set(['account', 'ledger_head'])

type Written = { readonly table: string; readonly values: readonly SQLInputValue[] }

export async function ledgerBench(runs: number): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'cfab-bench-'))
  const users = Array.from({ length: USER_COUNT }, (_, place) => keyPairFromSeed(new Uint8Array(32).fill(place + 1)))
  const genesis = genesisOf(users)
  const path = join(folder, 'ledger.db')
  const database = Database.open({ path })
  const log = new TimedLog(database, { owner: ownerOf(users).peer, linkOf: entryLinks(genesis.swarmId) })
  const store = createStore(database)
  const ledger = await LogLedger.open({ genesis }, { log, store, clock: systemClock })
  const bare = new BareDatabase(join(folder, 'bare.db'), database)
  const figures: Figure[] = []
  let serial = 0
  const transfers = (count: number) => Array.from({ length: count }, () => transferOf(users, genesis, serial++))
  const append = async (bodies: readonly Uint8Array[]): Promise<number> => {
    const startMs = performance.now()
    const results = await Promise.all(bodies.map((body) => ledger.append('transfer', body)))
    const tookMs = performance.now() - startMs
    if (results.some(({ status }) => status !== 'applied')) throw new Error('a transfer was refused')
    return tookMs
  }
  for (const count of BATCHES) {
    const known: number[] = []
    const stored: number[] = []
    const unknown: number[] = []
    const inserted: number[] = []
    for (let run = -2; run < runs; run += 1) {
      log.tookMs = 0
      const first = await append(transfers(count))
      const store = log.tookMs
      const insert = bare.insertNew(Math.min(count, GROUP_COUNT))
      const bodies = transfers(count)
      forgetSignatures()
      const second = await append(bodies)
      bare.insertNew(Math.min(count, GROUP_COUNT))
      if (run < 0) continue
      known.push(first)
      stored.push(store)
      inserted.push(insert)
      unknown.push(second)
    }
    figures.push(
      { name: `batch ${count}, bare inserts`, unit: 'ms', values: inserted },
      { name: `batch ${count}, storing alone`, unit: 'ms', values: stored },
      { name: `batch ${count}, ledger, signatures known`, unit: 'ms', values: known },
      { name: `batch ${count}, ledger, signatures verified`, unit: 'ms', values: unknown },
    )
  }
  bare.close()
  await ledger.close()
  await database.close()
  rmSync(folder, { recursive: true })
  return { bench: 'ledger', figures, ratios: BATCHES.flatMap((count) => ratiosOf(figures, count)) }
}

function ratiosOf(figures: readonly Figure[], count: number): Result['ratios'] {
  const of = (name: string) => median(figures.find((figure) => figure.name === `batch ${count}, ${name}`)?.values ?? [])
  return ['storing alone', 'ledger, signatures known', 'ledger, signatures verified'].map((name) => ({
    name: `batch ${count}: bare / ${name}`,
    value: of('bare inserts') / of(name),
  }))
}

class TimedLog extends SqliteRegionLog {
  tookMs = 0

  override async propose(batch: readonly Uint8Array[], options: ProposeOptions): Promise<Proposed> {
    const startMs = performance.now()
    const proposed = await super.propose(batch, options)
    this.tookMs += performance.now() - startMs
    return proposed
  }
}

/** Copies what the ledger has written since the last time, group by group, and says how long the inserts alone took. */
class BareDatabase {
  readonly #db: DatabaseSync
  readonly #source: Database
  readonly #statements = new Map<string, StatementSync>()
  readonly #upTo = new Map<string, bigint>()
  readonly #keys = new Set<string>()

  constructor(path: string, source: Database) {
    // The same file, schema, PRAGMAs and log length; nothing but plain statements from here on.
    void Database.open({ path }).close()
    this.#source = source
    this.#db = new DatabaseSync(path, { timeout: 0 })
    this.#db.exec('PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL')
    this.#db.exec('PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON')
    for (const table of TABLES) this.#statements.set(table, this.#db.prepare(this.#insertInto(table)))
    this.#insert([this.#newRows()])
  }

  /** @param groupCount  log entries in one transaction. @returns milliseconds */
  insertNew(groupCount: number): number {
    return this.#insert(this.#groups(this.#newRows(), groupCount))
  }

  close(): void {
    this.#db.close()
  }

  #insert(groups: readonly (readonly Written[])[]): number {
    const [begin, commit] = [this.#db.prepare('BEGIN IMMEDIATE'), this.#db.prepare('COMMIT')]
    const startMs = performance.now()
    for (const rows of groups) {
      begin.run()
      for (const { table, values } of rows) this.#statements.get(table)?.run(...values)
      commit.run()
    }
    return performance.now() - startMs
  }

  /** Rows of later groups that replace those of earlier ones, such as accounts, are written once in each. */
  #groups(rows: readonly Written[], groupCount: number): readonly (readonly Written[])[] {
    const of = (table: string) => rows.filter((row) => row.table === table)
    const entries = of('log_entry')
    return Array.from({ length: Math.ceil(entries.length / groupCount) }, (_, group) => {
      const part = (table: string) => of(table).slice(group * groupCount, (group + 1) * groupCount)
      const once = of('log_proposal').slice(group, group + 1)
      return [
        ...part('log_entry'),
        ...once,
        ...of('account'),
        ...part('idempotency'),
        ...part('transfer'),
        ...of('ledger_head'),
      ]
    })
  }

  #newRows(): readonly Written[] {
    return TABLES.flatMap((table) => {
      const key = KEYS[table]
      const where = key === undefined ? '' : `WHERE ${key} > ${this.#upTo.get(table) ?? -1n} ORDER BY ${key}`
      const rows = this.#source.all(`SELECT * FROM ${table} ${where}`)
      const last = key === undefined ? undefined : rows.at(-1)?.[key]
      if (typeof last === 'bigint') this.#upTo.set(table, last)
      return rows
        .filter((row) => table !== 'idempotency' || this.#isNew(String(row['key'])))
        .map((row) => ({ table, values: Object.values(row) }))
    })
  }

  #isNew(key: string): boolean {
    const before = this.#keys.size
    return this.#keys.add(key).size > before
  }

  #insertInto(table: string): string {
    const columns = this.#db
      .prepare(`PRAGMA table_info(${table})`)
      .all()
      .map(({ name }) => String(name))
    const places = columns.map(() => '?').join()
    const [key = '', ...others] = columns
    const update = others.map((column) => `${column} = excluded.${column}`).join()
    const conflict = UPSERTED.has(table) ? ` ON CONFLICT (${key}) DO UPDATE SET ${update}` : ''
    return `INSERT INTO ${table} (${columns.join()}) VALUES (${places})${conflict}`
  }
}

function ownerOf(users: readonly KeyPair[]): KeyPair {
  const [owner] = users
  if (owner === undefined) throw new Error('nobody owns the log')
  return owner
}

function transferOf(users: readonly KeyPair[], { swarmId }: Genesis, serial: number): Uint8Array {
  const [from, to] = [users[serial % USER_COUNT] ?? ownerOf(users), users[(serial + 1) % USER_COUNT] ?? ownerOf(users)]
  const parties = { from: userAccount(from.peer), to: userAccount(to.peer), amount: 1n }
  const value = {
    kind: 'transfer',
    ...parties,
    reason: 'bench',
    jobId: new Uint8Array(),
    idempotencyKey: `${serial}`,
  } as const
  return sealAs(transferCodec, value, swarmId, from)
}

function genesisOf(users: readonly KeyPair[]): Genesis {
  const validators = users.slice(0, 4).map(({ peer }) => peer)
  const owner = digestOf(keyOf(ownerOf(users).peer))
  const member = (peer: KeyPair['peer']) => ({ peer, weight: 1, roles: ROLE.worker | ROLE.validator, owner, block: 0 })
  return makeGenesis({
    ...{ name: 'bench', region: 'local', createdMs: BigInt(Date.now()), log: 'sqlite', local: true },
    ...{ validators, mintKeys: [ownerOf(users).peer] },
    members: validators.map(member).toSorted((a, b) => (a.peer < b.peer ? -1 : 1)),
    prices: DEFAULT_PRICES,
    policy: { ...DEFAULT_POLICY, auditPermille: 0 },
    starters: users.map(({ peer }) => ({ user: peer, amount: STARTER_MICRO })),
    beacon: digestOf(new Uint8Array(32)),
  })
}
