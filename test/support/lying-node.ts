/**
 * A whole daemon whose compute host lies, for tests: `lying-node.ts substitute|edit start --home DIR --flag value …`.
 *
 * `substitute` loads a coarser quantisation of the model and goes on under the name of the true one; `edit` changes one token of each
 * output and lets the model say honestly how its new output reads.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { TokenBatch } from '../../models/backend.ts'
import { type Flags, loadConfig } from '../../node/config.ts'
import { NO_TAPS, startDaemon } from '../../node/daemon.ts'
import type { HostTap } from '../../node/node-models.ts'
import { createLogger } from '../../node/runtime/telemetry.ts'

const COARSE = fileURLToPath(new URL('../../models/data/cfab-tiny-q4_0.gguf', import.meta.url))
/** Neither at the beginning nor at the end of what tests ask for. */
const EDITED_AT = 5

/** A member of a class is not its own property: each lie hands all else on to the host itself. */
function lying<T extends object>(host: T, lies: Partial<T>): T {
  return new Proxy(host, {
    get: (_, name) => {
      const own: unknown = Reflect.get(lies, name) ?? Reflect.get(host, name)
      return typeof own === 'function' && !(name in lies) ? own.bind(host) : own
    },
  })
}

const substitute: HostTap = (host, { id }) =>
  id !== 'cfab-tiny'
    ? host
    : lying(host, {
        load: (request) => {
          const digest = createHash('sha256').update(readFileSync(COARSE)).digest('hex')
          return host.load({ ...request, path: COARSE, digest })
        },
      })

const edit: HostTap = (host) => lying(host, { generate: (request, signal) => edited(host, request, signal) })

/** All at once: what it says must fit the ids that it names, or structure alone would give it away. */
async function* edited(
  host: Parameters<HostTap>[0],
  ...[request, signal]: Parameters<Parameters<HostTap>[0]['generate']>
): AsyncIterable<TokenBatch> {
  const ids: number[] = []
  let last: TokenBatch | undefined
  for await (const batch of host.generate(request, signal)) {
    ids.push(...batch.ids)
    last = batch
  }
  if (last === undefined) return
  const claimed = ids[EDITED_AT]
  if (claimed !== undefined && EDITED_AT < ids.length - 1) ids[EDITED_AT] = claimed > 1_000 ? claimed - 1 : claimed + 1
  const { promptIds, showControl = false } = request
  const text = await host.detokenize({ promptIds, outputIds: Uint32Array.from(ids), showControl })
  yield { ...last, ids, text }
}

const LIES: Readonly<Record<string, HostTap>> = { substitute, edit }

/** `--mesh-host x` as { meshHost: x } */
function flagsOf(words: readonly string[]): Flags {
  const pairs: [string, string][] = []
  for (let at = 0; at + 1 < words.length; at += 2) {
    const name = (words[at] ?? '').slice(2).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    pairs.push([name, words[at + 1] ?? ''])
  }
  return Object.fromEntries(pairs)
}

const [, , lie = '', command, ...words] = process.argv
const host = LIES[lie]
if (host === undefined || command !== 'start') throw new Error(`a lie and "start", not ${lie} ${command}`)
const config = loadConfig({ flags: flagsOf(words), env: {}, cwd: process.cwd() })
const daemon = await startDaemon(config, createLogger(config.logLevel), { ...NO_TAPS, host })
console.log(`ComputeFabric listens on ${daemon.address}`)
process.once('SIGTERM', () => void daemon.stop().then(() => process.exit(0)))
