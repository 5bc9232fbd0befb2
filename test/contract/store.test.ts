import { join } from 'node:path'
import { Database } from '../../node/stores/database.ts'
import { createStore } from '../../node/stores/store.ts'
import { createMemoryStore } from '../support/memory-store.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { storeSuite } from './store.suite.ts'

storeSuite('memory', () => createMemoryStore()).run()
storeSuite('sqlite', () => createStore(Database.open({ path: join(tempFolder(), 'node.db') }))).run()
