import { join } from 'node:path'
import { peerIdOf } from '../../core/ids.ts'
import { Database } from '../../node/stores/database.ts'
import { SqliteRegionLog } from '../../node/stores/region-log-sqlite.ts'
import { createMemoryRegionLog } from '../support/memory-region-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { toyLink } from '../support/toy-entries.ts'
import { regionLogSuite } from './region-log.suite.ts'

const owner = peerIdOf(new Uint8Array(32).fill(1))
regionLogSuite('memory', () => createMemoryRegionLog({ linkOf: toyLink })).run()
regionLogSuite('sqlite', () => {
  const database = Database.open({ path: join(tempFolder(), 'node.db') })
  return new SqliteRegionLog(database, { owner, linkOf: toyLink })
}).run()
