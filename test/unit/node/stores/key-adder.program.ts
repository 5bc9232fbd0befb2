/** Adds API keys to a file: what a second command line does while a daemon runs. */
import { keyFile, NO_LIMITS } from '../../../support/access.ts'

const [path = '', count = '0'] = process.argv.slice(2)
for (let index = 0; index < Number(count); index += 1)
  await keyFile(path).add({ ...NO_LIMITS, name: `of ${process.pid}`, role: 'user' })
