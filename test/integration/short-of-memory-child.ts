/** A daemon in small, for the test that gives it little memory: says what came of a load that needs more, and of the next one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { answerOf, promptOf, requestOf } from '../support/ask-backend.ts'
import { loadOf } from '../support/broken-files.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'

const FIELD = 'llama.context_length'
const TYPE_BYTES = 4
/** With as many sequences as there may be: twenty gibibytes of keys and values. */
const CONTEXT_TOKENS = 262_144
const SLOTS = 64

const bytes = Buffer.from(readFileSync(TINY_LOAD.path))
bytes.writeUInt32LE(CONTEXT_TOKENS, bytes.indexOf(FIELD) + FIELD.length + TYPE_BYTES)
const request = loadOf(bytes, join(tempFolder(), 'model.gguf'))
const { backend } = createHost()
const large = { ...request, contextTokens: CONTEXT_TOKENS, slotCount: SLOTS, memoryBytesMax: Number.MAX_SAFE_INTEGER }
const code = await codeOf(backend.load({ ...large, driver: 'native' }))
await backend.load({ ...TINY_LOAD, driver: 'native' })
const { finish } = await answerOf(
  backend.generate(requestOf(await promptOf(backend), 1, 8), AbortSignal.timeout(10_000)),
)
console.log(`${code} ${finish}`)
await closeHosts()
