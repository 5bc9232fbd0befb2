/** A swarm of one machine: its genesis, its keys, and the peers that live in this process. */
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../core/errors.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import { digestOf, keyOf, type PeerId } from '../core/ids.ts'
import { DEFAULT_PRICES } from '../core/ledger/pricing.ts'
import { DEFAULT_POLICY, type Genesis, makeGenesis, parseGenesis } from '../core/log/genesis.ts'
import { ROLE } from '../core/roster/roster.ts'
import type { Clock, KeyStore, Random } from './runtime/ports.ts'

export type LocalKeys = {
  readonly node: KeyPair
  /** Signs for callers of the HTTP API: custodial, on this machine only. */
  readonly user: KeyPair
  readonly mint: KeyPair
  readonly validators: readonly KeyPair[]
}

/** 1,000 credits: what the local user starts with, so that the first request works. */
const STARTER_MICRO = 1_000_000_000n
const REGION = 'local'

/** @throws CF_IDENTITY_KEY_UNREADABLE */
export async function loadKeys(keys: KeyStore, validatorCount: number): Promise<LocalKeys> {
  const [node, user, mint] = [await keys.load('node'), await keys.load('user'), await keys.load('mint')]
  const validators: KeyPair[] = []
  for (let place = 0; place < validatorCount; place += 1) validators.push(await keys.load(`validator-${place}`))
  return { node, user, mint, validators }
}

/**
 * The genesis of this home, made at the first start and never again: its hash is the swarm's id.
 *
 * @param validatorCount  counts at the first start only
 * @throws CF_STORE_FORKED when the file is damaged
 */
export async function loadGenesis(
  path: string,
  keys: KeyStore,
  validatorCount: number,
  ports: { clock: Clock; random: Random },
): Promise<Genesis> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new FabricError('CF_STORE_FAILED', { file: 'genesis' }, error)
  })
  if (bytes !== undefined) {
    const parsed = parseGenesis(Uint8Array.from(bytes))
    if (parsed.action !== 'accept') throw new FabricError('CF_STORE_FORKED', { file: 'genesis', reason: parsed.reason })
    return parsed.value
  }
  const genesis = localGenesis(await loadKeys(keys, validatorCount), ports)
  await writeDurably(path, genesis.bytes)
  return genesis
}

function localGenesis(keys: LocalKeys, { clock, random }: { clock: Clock; random: Random }): Genesis {
  const owner = digestOf(keyOf(keys.user.peer))
  const member = (peer: PeerId, roles: number) => ({ peer, weight: 1, roles, owner, block: 0 })
  const validators = keys.validators.map(({ peer }) => peer)
  const members = [
    member(keys.node.peer, ROLE.worker | ROLE.edge),
    ...validators.map((peer) => member(peer, ROLE.worker | ROLE.validator)),
  ]
  return makeGenesis({
    ...{ name: 'local', region: REGION, createdMs: BigInt(clock.nowMs()), log: 'sqlite', local: true },
    ...{ validators, mintKeys: [keys.mint.peer] },
    members: members.toSorted((a, b) => (a.peer < b.peer ? -1 : 1)),
    prices: DEFAULT_PRICES,
    // Nobody in a swarm of one machine is independent enough to audit the others.
    policy: { ...DEFAULT_POLICY, auditPermille: 0 },
    starters: [{ user: keys.user.peer, amount: STARTER_MICRO }],
    beacon: digestOf(random.bytes(32)),
  })
}

/** Written whole or not at all: a half-written genesis would be another swarm. */
async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.draft`
  const file = await open(draft, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
}
