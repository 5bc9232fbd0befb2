/**
 * The local database: one SQLite file with one owner and a group commit.
 * WAL with `synchronous=FULL` (https://sqlite.org/pragma.html#pragma_synchronous): a resolved unit survives power loss.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { FabricError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import { MIGRATIONS } from './schema.ts'

export type Row = Readonly<Record<string, SQLOutputValue>>
export type DatabaseOptions = {
  readonly path: string
  /** Units that may wait for the next commit; beyond it `enqueue` rejects with CF_STORE_QUEUE_FULL. */
  readonly unitCountMax?: number
}

type Unit = {
  readonly run: () => void
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const UNIT_COUNT_MAX = 4_096
/** SQLite's own size at which it folds the log into the file: 1,000 pages. */
const LOG_BYTES = 4_096_000
/** Dirty pages that SQLite keeps in memory before it writes them to the log uncommitted. */
const CACHE_BYTES = 2_048_000
const PADDING_BYTES = 65_536
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700
/** Primary result codes, https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11

export class Database {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  readonly #unitCountMax: number
  #queue: Unit[] = []
  #state: 'open' | 'failed' | 'closed' = 'open'

  private constructor(db: DatabaseSync, options: DatabaseOptions) {
    this.#db = db
    this.#unitCountMax = options.unitCountMax ?? UNIT_COUNT_MAX
  }

  /**
   * Opens or creates the file and keeps it to this process.
   *
   * Why an exclusive lock on the file itself: the kernel drops it when the process dies, so no kill leaves a home locked.
   *
   * @throws CF_CONFIG_HOME_LOCKED while another process has it; CF_STORE_FAILED when it is no database or is of a newer version
   */
  static open(options: DatabaseOptions): Database {
    try {
      createFile(options.path)
      const db = new DatabaseSync(options.path, { allowExtension: false, timeout: 0 })
      const database = new Database(db, options)
      try {
        database.#claim()
        database.#migrate()
        database.#growLog()
      } catch (error) {
        db.close()
        throw error
      }
      return database
    } catch (error) {
      throw openError(error, options.path)
    }
  }

  /** Every row of a read; sees committed data only, unless a unit calls it. */
  all(sql: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#guard(() => this.#prepare(sql).all(...values))
  }

  get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#guard(() => this.#prepare(sql).get(...values))
  }

  /**
   * Changes rows; only inside a unit.
   *
   * @returns how many rows changed
   */
  run(sql: string, ...values: readonly SQLInputValue[]): number {
    invariant(this.#db.isTransaction, 'rows change inside a unit only')
    return this.#guard(() => Number(this.#prepare(sql).run(...values).changes))
  }

  /**
   * Runs `work` in the next transaction, which every unit queued by then shares; resolves when that is on disk.
   *
   * A unit that throws is undone alone (by its savepoint) and only its promise rejects.
   *
   * @throws CF_STORE_QUEUE_FULL at the bound; CF_STORE_FAILED when the disk refuses; whatever `work` throws
   */
  enqueue<T>(work: () => T): Promise<T> {
    if (this.#state !== 'open') return Promise.reject(new FabricError('CF_STORE_FAILED', { reason: this.#state }))
    if (this.#queue.length >= this.#unitCountMax) {
      return Promise.reject(new FabricError('CF_STORE_QUEUE_FULL', { units: this.#queue.length }))
    }
    if (this.#queue.length === 0) setImmediate(() => this.#flush())
    return new Promise((resolve, reject) => {
      let settle = (): void => {}
      const run = (): void => {
        const value = work()
        settle = () => resolve(value)
      }
      this.#queue.push({ run, resolve: () => settle(), reject })
    })
  }

  /** Commits what is queued, folds the write-ahead log into the file and lets go of it. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#flush()
    this.#state = 'closed'
    this.#statements.clear()
    this.#db.close()
  }

  #flush(): void {
    if (this.#queue.length === 0 || this.#state === 'closed') return
    const units = this.#queue
    this.#queue = []
    try {
      this.#prepare('BEGIN IMMEDIATE').run()
      // Alone, a unit is undone with its transaction.
      const settles = units.length === 1 ? units.map(runAlone) : units.map((unit) => this.#runUnit(unit))
      this.#prepare('COMMIT').run()
      for (const settle of settles) settle()
    } catch (error) {
      this.#fail(error)
      for (const unit of units) unit.reject(storeError(error))
    }
  }

  /** @returns what tells the caller, to be called after the commit */
  #runUnit(unit: Unit): () => void {
    this.#prepare('SAVEPOINT unit').run()
    try {
      unit.run()
      this.#prepare('RELEASE unit').run()
      return unit.resolve
    } catch (error) {
      // A full disk makes SQLite roll the whole transaction back: then no unit of it may be acknowledged.
      if (!this.#db.isTransaction) throw error
      this.#db.exec('ROLLBACK TO unit')
      this.#db.exec('RELEASE unit')
      return () => unit.reject(storeError(error))
    }
  }

  /** Why writes stop for good after an I/O error: a later fsync may then succeed without the pages that the failed one lost. */
  #fail(error: unknown): void {
    if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
    const code = resultCode(error)
    if (code === SQLITE_IOERR || code === SQLITE_CORRUPT) this.#state = 'failed'
  }

  #claim(): void {
    this.#db.exec('PRAGMA locking_mode=EXCLUSIVE')
    this.#db.exec('PRAGMA journal_mode=WAL')
    this.#db.exec('PRAGMA synchronous=FULL')
    // On macOS fsync alone does not reach the medium; elsewhere this changes nothing.
    this.#db.exec('PRAGMA fullfsync=ON')
    this.#db.exec('PRAGMA checkpoint_fullfsync=ON')
    this.#db.exec('PRAGMA trusted_schema=OFF')
    this.#db.exec('BEGIN EXCLUSIVE')
    this.#db.exec('COMMIT')
  }

  #migrate(): void {
    this.#db.exec('BEGIN EXCLUSIVE')
    this.#db.exec('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT')
    const version = numberOf(
      this.get('SELECT coalesce(max(version), 0) AS version FROM schema_version') ?? {},
      'version',
    )
    if (version > MIGRATIONS.length) {
      throw new FabricError('CF_STORE_FAILED', { reason: 'schema_newer', version, known: MIGRATIONS.length })
    }
    for (const [index, statements] of MIGRATIONS.slice(version).entries()) {
      this.#db.exec(statements)
      this.run('INSERT INTO schema_version (version) VALUES (?)', version + index + 1)
    }
    this.#db.exec('COMMIT')
  }

  /**
   * Makes the write-ahead log as long as it gets before SQLite starts it again from its beginning.
   *
   * Why: a commit that lengthens the file makes the file system write its own journal too, one that overwrites does not, and every
   * commit is waited for. What is written here is rolled back: such frames lie behind the last commit and are overwritten by the next.
   */
  #growLog(): void {
    this.#db.exec('BEGIN IMMEDIATE')
    this.#db.exec('CREATE TABLE padding (bytes BLOB) STRICT')
    const insert = this.#db.prepare('INSERT INTO padding (bytes) VALUES (zeroblob(?))')
    for (let bytes = 0; bytes < LOG_BYTES + CACHE_BYTES; bytes += PADDING_BYTES) insert.run(PADDING_BYTES)
    this.#db.exec('ROLLBACK')
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    statement.setReadBigInts(true)
    this.#statements.set(sql, statement)
    return statement
  }

  #guard<T>(work: () => T): T {
    if (this.#state === 'closed') throw new FabricError('CF_STORE_FAILED', { reason: 'closed' })
    return work()
  }
}

function runAlone(unit: Unit): () => void {
  unit.run()
  return unit.resolve
}

/** The text of a column; a value of another type means that the file was changed by something else. */
export function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new FabricError('CF_STORE_FAILED', { reason: 'column_type', column })
  return value
}

export function bytesOf(row: Row, column: string): Uint8Array {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw new FabricError('CF_STORE_FAILED', { reason: 'column_type', column })
  return value
}

export function bigintOf(row: Row, column: string): bigint {
  const value = row[column]
  if (typeof value !== 'bigint') throw new FabricError('CF_STORE_FAILED', { reason: 'column_type', column })
  return value
}

export function numberOf(row: Row, column: string): number {
  return Number(bigintOf(row, column))
}

/**
 * Creates the file before SQLite does, because the write-ahead log takes over its mode.
 *
 * Why a file that exists is never opened here: closing any descriptor of it would drop this process's POSIX lock on it.
 */
function createFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  if (!existsSync(path)) closeSync(openSync(path, 'a', FILE_MODE))
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, FILE_MODE)
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined
  return error.errcode & 0xff
}

function openError(error: unknown, path: string): unknown {
  if (resultCode(error) === SQLITE_BUSY) return new FabricError('CF_CONFIG_HOME_LOCKED', { file: path }, error)
  if (error instanceof Error && 'code' in error && !(error instanceof FabricError)) {
    return new FabricError('CF_STORE_FAILED', { file: path, reason: String(error.code) }, error)
  }
  return error
}

/** Turns what SQLite throws into the coded error; anything else (a refusal, a bug) passes unchanged. */
function storeError(error: unknown): unknown {
  const code = resultCode(error)
  return code === undefined ? error : new FabricError('CF_STORE_FAILED', { sqlite: code }, error)
}
