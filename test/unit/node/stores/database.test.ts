import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { bytesOf, Database, numberOf } from '../../../../node/stores/database.ts'
import { codeOf } from '../../../support/error-code.ts'
import { startNode } from '../../../support/node-process.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const HOLDER = new URL('./holder.program.ts', import.meta.url)
const PUT = 'INSERT INTO payload (id, bytes) VALUES (?, ?)'
const newPath = (): string => join(tempFolder(), 'home', 'node.db')
const put = (database: Database, id: string, bytes = new Uint8Array(1)): Promise<number> =>
  database.enqueue(() => database.run(PUT, id, bytes))
const countOf = (database: Database): number => numberOf(database.get('SELECT count(*) AS n FROM payload') ?? {}, 'n')

test(
  'units of one tick share one commit, a lone unit has its own',
  within(3_000, async () => {
    const path = newPath()
    const database = Database.open({ path })
    const before = commitFrames(path)
    await Promise.all(Array.from({ length: 50 }, (_, index) => put(database, `a${index}`)))
    assert.is(commitFrames(path) - before, 1)
    await put(database, 'b')
    await put(database, 'c')
    assert.is(commitFrames(path) - before, 3)
    assert.is(countOf(database), 52)
    await database.close()
  }),
)

test(
  'a unit that throws is undone alone and only its promise rejects',
  within(3_000, async () => {
    const database = Database.open({ path: newPath() })
    const failing = database.enqueue(() => {
      database.run(PUT, 'half', new Uint8Array(1))
      throw new FabricError('CF_LEDGER_REFUSED')
    })
    const results = [put(database, 'x'), failing, put(database, 'x'), put(database, 'y')].map(codeOf)
    assert.equal(await Promise.all(results), ['resolved', 'CF_LEDGER_REFUSED', 'CF_STORE_FAILED', 'resolved'])
    assert.equal(
      database.all('SELECT id FROM payload ORDER BY id').map(({ id }) => id),
      ['x', 'y'],
    )
    await database.close()
  }),
)

test(
  'a full disk fails every unit of the commit, and the next one works again',
  within(3_000, async () => {
    const database = Database.open({ path: newPath() })
    const pages = numberOf(database.get('PRAGMA page_count') ?? {}, 'page_count')
    database.all(`PRAGMA max_page_count = ${pages + 4}`)
    const results = [
      put(database, 'small'),
      put(database, 'big', new Uint8Array(1_000_000)),
      put(database, 'after'),
    ].map(codeOf)
    assert.ok((await Promise.all(results)).includes('CF_STORE_FAILED'))
    const acknowledged = (await Promise.all(results)).filter((code) => code === 'resolved').length
    assert.is(countOf(database), acknowledged)
    database.all('PRAGMA max_page_count = 100000')
    await put(database, 'big', new Uint8Array(1_000_000))
    assert.is(bytesOf(database.get("SELECT bytes FROM payload WHERE id = 'big'") ?? {}, 'bytes').length, 1_000_000)
    await database.close()
  }),
)

test(
  'more units than the bound are refused, the others are kept',
  within(3_000, async () => {
    const database = Database.open({ path: newPath(), unitCountMax: 3 })
    const codes = await Promise.all(['a', 'b', 'c', 'd'].map((id) => codeOf(put(database, id))))
    assert.equal(codes, ['resolved', 'resolved', 'resolved', 'CF_STORE_QUEUE_FULL'])
    assert.is(await codeOf(put(database, 'd')), 'resolved')
    await database.close()
  }),
)

test(
  'close commits what was queued; later calls are refused',
  within(3_000, async () => {
    const path = newPath()
    const database = Database.open({ path })
    const queued = put(database, 'last')
    await database.close()
    await queued
    assert.is(await codeOf(put(database, 'late')), 'CF_STORE_FAILED')
    assert.throws(
      () => countOf(database),
      (error: unknown) => error instanceof FabricError,
    )
    const again = Database.open({ path })
    assert.is(countOf(again), 1)
    await again.close()
  }),
)

test(
  'rows change inside a unit only',
  within(3_000, async () => {
    const database = Database.open({ path: newPath() })
    assert.throws(() => database.run(PUT, 'x', new Uint8Array(1)), /invariant/)
    await database.close()
  }),
)

test(
  'the write-ahead log has its length from the start: commits overwrite it, and nothing of that is in the tables',
  within(3_000, async () => {
    const path = newPath()
    const database = Database.open({ path })
    const { size } = statSync(`${path}-wal`)
    for (let index = 0; index < 200; index += 1) await put(database, `a${index}`, new Uint8Array(2_000))
    assert.is(statSync(`${path}-wal`).size, size)
    assert.equal(database.all("SELECT name FROM sqlite_schema WHERE name = 'padding'"), [])
    await database.close()
  }),
)

test(
  'the files are for their owner only, also when the file was made with a wider mode',
  within(3_000, async () => {
    const path = newPath()
    const made = Database.open({ path })
    await put(made, 'x')
    for (const file of [path, `${path}-wal`]) assert.is(statSync(file).mode & 0o777, 0o600)
    await made.close()
    const wide = join(tempFolder(), 'wide.db')
    writeFileSync(wide, '', { mode: 0o644 })
    await Database.open({ path: wide }).close()
    assert.is(statSync(wide).mode & 0o777, 0o600)
  }),
)

test(
  'a file that is no database and one of a newer version are refused with a code',
  within(3_000, async () => {
    const [text, newer] = [join(tempFolder(), 'text.db'), newPath()]
    writeFileSync(text, 'x'.repeat(5_000))
    assert.is(openCode(text), 'CF_STORE_FAILED')
    await Database.open({ path: newer }).close()
    const raw = new DatabaseSync(newer)
    raw.exec('INSERT INTO schema_version (version) VALUES (999)')
    raw.close()
    assert.is(openCode(newer), 'CF_STORE_FAILED')
  }),
)

test(
  'one process has the file: another open is refused, here and elsewhere, and a refused one takes nothing away',
  within(8_000, async () => {
    const path = newPath()
    const database = Database.open({ path })
    assert.is(openCode(path), 'CF_CONFIG_HOME_LOCKED')
    assert.is(await firstLine(startNode(HOLDER, [path])), 'CF_CONFIG_HOME_LOCKED')
    await put(database, 'x')
    await database.close()
    await Database.open({ path }).close()
  }),
)

test(
  'a holder that is killed leaves the file free at once',
  within(8_000, async () => {
    const path = newPath()
    const holder = startNode(HOLDER, [path])
    assert.is(await firstLine(holder), 'open')
    assert.is(openCode(path), 'CF_CONFIG_HOME_LOCKED')
    holder.kill('SIGKILL')
    await holder.exited
    await Database.open({ path }).close()
  }),
)

function openCode(path: string): string {
  try {
    void Database.open({ path }).close()
    return 'opened'
  } catch (error) {
    return error instanceof FabricError ? error.code : 'other'
  }
}

async function firstLine(program: ReturnType<typeof startNode>): Promise<string> {
  for await (const line of program.lines) return line
  return ''
}

/** Commits in the write-ahead log: frames whose header gives the database's size (https://sqlite.org/fileformat2.html#walformat). */
function commitFrames(path: string): number {
  const wal = readFileSync(`${path}-wal`)
  const frameBytes = 24 + wal.readUInt32BE(8)
  let count = 0
  for (let offset = 32; offset + frameBytes <= wal.length; offset += frameBytes)
    if (wal.readUInt32BE(offset + 4) > 0) count += 1
  return count
}

test.run()
