/** `cfab-node keys`: which identities this node holds. Secrets are never shown. */
import { join } from 'node:path'
import { toHex } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { Config } from '../config.ts'
import { systemRandom } from '../runtime/system.ts'
import { createKeyStore } from '../stores/keystore.ts'
import type { Io } from './io.ts'
import { columns, json, section } from './print.ts'

type Json = { readonly json?: boolean }

export async function listKeys(options: Json, config: Config, io: Io): Promise<number> {
  const store = createKeyStore(config.paths.keys, systemRandom)
  const names = await store.list()
  const keys = await Promise.all(names.map(async (name) => ({ name, id: (await store.load(name)).peer })))
  if (options.json === true) io.out(json(keys))
  else if (keys.length === 0) io.out(`no keys yet in ${config.paths.keys}\n`)
  else io.out(columns([['NAME', 'ID'], ...keys.map(({ name, id }) => [name, id])]))
  return 0
}

/** Names the machine before its first start: a founder must know the validators of a swarm that does not exist yet. */
export async function createKeys(options: Json, config: Config, io: Io): Promise<number> {
  const { peer } = await createKeyStore(config.paths.keys, systemRandom).load('node')
  io.out(options.json === true ? json({ name: 'node', id: peer }) : `${peer}\n`)
  return 0
}

/** @throws CF_IDENTITY_KEY_UNREADABLE when there is no key of that name: showing must not create one */
export async function showKey(name: string, options: Json, config: Config, io: Io): Promise<number> {
  const store = createKeyStore(config.paths.keys, systemRandom)
  const file = join(config.paths.keys, `${name}.key`)
  if (!(await store.list()).includes(name))
    throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file, reason: 'no such key' })
  const { peer, publicKey } = await store.load(name)
  const facts = { name, id: peer, public_key: toHex(publicKey), file }
  if (options.json === true) io.out(json(facts))
  else
    io.out(
      section(name, [
        ['id', peer],
        ['public key', facts.public_key],
        ['file', file],
      ]),
    )
  return 0
}
