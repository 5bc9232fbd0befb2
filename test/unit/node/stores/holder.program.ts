/** Opens a database, says so, and holds it until it is killed. */
import { FabricError } from '../../../../core/errors.ts'
import { Database } from '../../../../node/stores/database.ts'

const [path = ''] = process.argv.slice(2)
try {
  Database.open({ path })
  console.log('open')
  setInterval(() => {}, 1_000)
} catch (error) {
  console.log(error instanceof FabricError ? error.code : 'other')
}
