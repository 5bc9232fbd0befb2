/** How a swarm begins: of one machine, with every peer in this process, or of separate ones. */
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { digestOf, keyOf, type PeerId } from '../../core/ids.ts'
import { DEFAULT_PRICES } from '../../core/ledger/pricing.ts'
import { LIMITS } from '../../core/limits.ts'
import { DEFAULT_POLICY, type Genesis, makeGenesis, parseGenesis } from '../../core/log/genesis.ts'
import { JOINED_WEIGHT } from '../../core/log/standing.ts'
import { blockOf } from '../../core/roster/block.ts'
import { ROLE } from '../../core/roster/roster.ts'
import type { Clock, KeyStore, Random } from '../runtime/ports.ts'

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

/** @returns undefined when the home belongs to no swarm yet. @throws CF_STORE_FORKED when the file is damaged, CF_STORE_FAILED */
export async function readGenesis(path: string): Promise<Genesis | undefined> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new FabricError('CF_STORE_FAILED', { file: 'genesis' }, error)
  })
  if (bytes === undefined) return undefined
  const parsed = parseGenesis(Uint8Array.from(bytes))
  if (parsed.action !== 'accept') throw new FabricError('CF_STORE_FORKED', { file: 'genesis', reason: parsed.reason })
  return parsed.value
}

/**
 * The genesis of this home, that of a swarm of its own when there is none: made at the first start and never again, its hash is the
 * swarm's id.
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
  const earlier = await readGenesis(path)
  if (earlier !== undefined) return earlier
  const genesis = localGenesis(await loadKeys(keys, validatorCount), ports)
  await saveGenesis(path, genesis)
  return genesis
}

export type FoundingTerms = {
  readonly name: string
  readonly region: string
  readonly log: Genesis['log']
  /** Beside this node, which is the first. */
  readonly validators: readonly PeerId[]
  /** Milliseconds between the beginnings of two epochs whose members are the same. */
  readonly epochMs: number
  /** Milliseconds after which earned credit can be spent: until then it is the bond that a slash takes. */
  readonly vestMs: number
}

/** A swarm of separate machines, with this one in it and those that validate with it. @throws CF_CONFIG_INVALID */
export function foundedGenesis(
  { validators: others, ...terms }: FoundingTerms,
  { node, user, mint }: LocalKeys,
  { clock, random }: { clock: Clock; random: Random },
): Genesis {
  const validators = [node.peer, ...others]
  if (new Set(validators).size < validators.length || validators.length > LIMITS.validatorCountMax)
    throw new FabricError('CF_CONFIG_INVALID', {
      key: 'validator',
      expected: 'each PeerId once, 13 with this node at most',
    })
  const roles = ROLE.worker | ROLE.validator | ROLE.edge
  const members = validators.map((peer) => {
    const owner = digestOf(keyOf(peer === node.peer ? user.peer : peer))
    return { peer, weight: JOINED_WEIGHT, roles, owner, block: blockOf(undefined, peer) }
  })
  const { epochMs, vestMs, ...names } = terms
  return makeGenesis({
    ...{ ...names, createdMs: BigInt(clock.nowMs()), local: false },
    ...{ validators, mintKeys: [mint.peer] },
    members: members.toSorted((a, b) => (a.peer < b.peer ? -1 : 1)),
    prices: { ...DEFAULT_PRICES, vestMs: BigInt(vestMs) },
    policy: { ...DEFAULT_POLICY, epochMs },
    starters: [{ user: user.peer, amount: STARTER_MICRO }],
    beacon: digestOf(random.bytes(32)),
  })
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
    // Nobody in a swarm of one machine is independent enough to audit the others.
    prices: { ...DEFAULT_PRICES, reportPermille: 0 },
    policy: { ...DEFAULT_POLICY, auditPermille: 0 },
    starters: [{ user: keys.user.peer, amount: STARTER_MICRO }],
    beacon: digestOf(random.bytes(32)),
  })
}

/** Written whole or not at all: a half-written genesis would be another swarm. */
export async function saveGenesis(path: string, { bytes }: Genesis): Promise<void> {
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
