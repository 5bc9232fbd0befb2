import { systemRandom } from '../../node/runtime/system.ts'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { createMemoryKeyStore } from '../support/memory-keystore.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { keyStoreSuite } from './keystore.suite.ts'

keyStoreSuite('memory', () => {
  const store = createMemoryKeyStore(systemRandom)
  return () => store
}).run()
keyStoreSuite('files', () => {
  const folder = tempFolder()
  return () => createKeyStore(folder, systemRandom)
}).run()
