/**
 * A whole daemon whose compute host lies, for tests: `lying-node.ts LIE start --home DIR --flag value …`.
 *
 * `substitute` and `sibling` load a coarser quantisation or a smaller model and go on under the name of the true one. `edit`, `garbage`
 * and `truncate` change one token, all tokens or the end of each output and let the model say honestly how the new one reads; `edit:6`
 * begins with six honest outputs.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { TokenBatch } from '../../models/backend.ts'
import { type Flags, loadConfig } from '../../node/config.ts'
import { NO_TAPS, startDaemon } from '../../node/daemon.ts'
import type { HostTap } from '../../node/node-models.ts'
import { createLogger } from '../../node/runtime/telemetry.ts'

const fileOf = (name: string): string => fileURLToPath(new URL(`../../models/data/${name}`, import.meta.url))
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

const loading =
  (path: string): HostTap =>
  (host, { id }) =>
    id !== 'cfab-tiny'
      ? host
      : lying(host, {
          load: (request) => {
            const digest = createHash('sha256').update(readFileSync(path)).digest('hex')
            return host.load({ ...request, path, digest })
          },
        })

type Host = Parameters<HostTap>[0]
/** @returns other ids than those that the model chose, with the same end or with a stop id */
type Change = (ids: readonly number[], stopId: number) => readonly number[]

const changing =
  (change: Change, honestFirst: number): HostTap =>
  (host) => {
    let [stopId, count] = [0, 0]
    return lying(host, {
      load: async (request) => {
        const loaded = await host.load(request)
        stopId = loaded.stopIds[0] ?? stopId
        return loaded
      },
      generate: (request, signal) => {
        count += 1
        return count > honestFirst
          ? changed(host, (ids) => change(ids, stopId), request, signal)
          : host.generate(request, signal)
      },
    })
  }

/** All at once: what it says must fit the ids that it names, or structure alone would give it away. */
async function* changed(
  host: Host,
  change: (ids: readonly number[]) => readonly number[],
  ...[request, signal]: Parameters<Host['generate']>
): AsyncIterable<TokenBatch> {
  const ids: number[] = []
  let last: TokenBatch | undefined
  for await (const batch of host.generate(request, signal)) {
    ids.push(...batch.ids)
    last = batch
  }
  if (last === undefined) return
  const claimed = change(ids)
  const { promptIds, showControl = false } = request
  const text = await host.detokenize({ promptIds, outputIds: Uint32Array.from(claimed), showControl })
  const finish = claimed.length < ids.length ? 'stop' : last.finish
  yield { ...last, ids: claimed, text, ...(finish === undefined ? {} : { finish }) }
}

const edit: Change = (ids) => {
  const claimed = ids[EDITED_AT]
  if (claimed === undefined || EDITED_AT >= ids.length - 1) return ids
  return ids.with(EDITED_AT, claimed > 1_000 ? claimed - 1 : claimed + 1)
}
/** Plain tokens of every vocabulary here, in an order of their own. */
const garbage: Change = (ids) => ids.map((id, place) => (place === ids.length - 1 ? id : 300 + ((place * 37) % 600)))
const truncate: Change = (ids, stopId) => (ids.length < 4 ? ids : [...ids.slice(0, ids.length >> 1), stopId])

const CHANGES: Readonly<Record<string, Change>> = { edit, garbage, truncate }
const MODELS: Readonly<Record<string, string>> = {
  substitute: 'cfab-tiny-q4_0.gguf',
  sibling: 'cfab-tiny-small-f16.gguf',
}

function tapOf(lie: string): HostTap | undefined {
  const [kind = '', honestFirst = '0'] = lie.split(':')
  const [change, model] = [CHANGES[kind], MODELS[kind]]
  if (change !== undefined) return changing(change, Number(honestFirst))
  return model === undefined ? undefined : loading(fileOf(model))
}

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
const host = tapOf(lie)
if (host === undefined || command !== 'start') throw new Error(`a lie and "start", not ${lie} ${command}`)
const config = loadConfig({ flags: flagsOf(words), env: {}, cwd: process.cwd() })
const daemon = await startDaemon(config, createLogger(config.logLevel), { ...NO_TAPS, host })
console.log(`ComputeFabric listens on ${daemon.address}`)
process.once('SIGTERM', () => void daemon.stop().then(() => process.exit(0)))
