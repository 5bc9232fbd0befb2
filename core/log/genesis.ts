/** What a swarm starts from: its hash is the swarm's id, so nothing in it can be changed later without being another swarm. */
import { domainHash } from '#core/hash'
import {
  type BodyOf,
  code,
  defineBody,
  digest,
  flag,
  i64,
  list,
  peer,
  record,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { admitKey } from '../identity/keys.ts'
import { digestOf, keyOf, type PeerId, parseRegion, parseSwarmId, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { pricesInBounds, quote } from '../ledger/pricing.ts'
import { LIMITS } from '../limits.ts'
import { isValidatorList, type ValidatorSet, validatorSet } from '../quorum/validators.ts'
import { isMemberList, type RosterSnapshot, rosterSnapshot } from '../roster/roster.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { LOG_TIME_MS_MAX } from './entry.ts'

const GENESIS_MEMBERS_MAX = 48

export const genesisCodec = defineBody(
  'genesis',
  {
    name: text(64),
    region: text(32),
    createdMs: u64(),
    /** Which engine orders the log. */
    log: code(['sqlite', 'etcd']),
    /** One owner's machine, every validator in one process: a receipt then says `local`, never `verified`. */
    local: flag(),
    validators: list(peer(), LIMITS.validatorCountMax),
    mintKeys: list(peer(), 4),
    members: list(
      record({ peer: peer(), weight: u8(), roles: u8(), owner: digest(), block: u32() }),
      GENESIS_MEMBERS_MAX,
    ),
    prices: record({
      jobMicro: i64(),
      tokenMicro: i64(),
      tokenMicroPerGigaParam: i64(),
      bonusPermille: u16(),
      feePermille: u16(),
      vestMs: i64(),
      speedPermille: u16(),
      reportPermille: u16(),
    }),
    policy: record({
      attemptsMax: u8(),
      answerMs: u32(),
      commitMs: u32(),
      revealMs: u32(),
      /** From the hold's log time to the time when anyone may log its refund. */
      jobMs: u32(),
      auditPermille: u16(),
      /** The longest that an epoch lasts while there are jobs; 0: the genesis roster stands for ever. */
      epochMs: u32(),
    }),
    starters: list(record({ user: peer(), amount: i64() }), 16),
    /** Of epoch 0. */
    beacon: digest(),
  },
  LIMITS.genesisBytesMax,
)
export type GenesisBody = BodyOf<typeof genesisCodec>
export type Policy = GenesisBody['policy']
/** A genesis that has been checked, with its own bytes and their hash. */
export type Genesis = GenesisBody & { readonly swarmId: SwarmId; readonly bytes: Uint8Array }

export const DEFAULT_POLICY: Policy = {
  attemptsMax: LIMITS.attemptCountMax,
  answerMs: 2_000,
  commitMs: 540_000,
  revealMs: 30_000,
  jobMs: 600_000,
  auditPermille: 100,
  epochMs: 0,
}

/** @throws InvariantError when the body breaks a rule of `genesisFault`: what is read from a file goes through `parseGenesis` */
export function makeGenesis(body: GenesisBody): Genesis {
  const parsed = parseGenesis(genesisCodec.encode(body))
  invariant(parsed.action === 'accept', `a genesis of our own is sound: ${genesisFault(body) ?? 'encoding'}`)
  return parsed.value
}

/**
 * Reads a genesis and checks every rule that later code relies on.
 *
 * @returns  reject `body_malformed` with the field group at fault, or why the bytes or a key are not admitted
 */
export function parseGenesis(bytes: Uint8Array): Validation<Genesis> {
  const decoded = genesisCodec.decode(bytes)
  if (decoded.action !== 'accept') return decoded
  const body = decoded.value
  const fault = genesisFault(body)
  if (fault !== undefined) return reject('body_malformed', `genesis.${fault}`)
  for (const key of [...body.validators, ...body.mintKeys, ...body.members.map((member) => member.peer)]) {
    const admitted = admitKey(keyOf(key))
    if (admitted.action !== 'accept') return admitted
  }
  return accept({ ...body, swarmId: swarmIdOf(bytes), bytes: Uint8Array.from(bytes) })
}

/** The swarm's id: a hash over the whole genesis body. */
export function swarmIdOf(genesisBytes: Uint8Array): SwarmId {
  const swarmId = parseSwarmId(digestOf(domainHash('genesis', genesisBytes)))
  invariant(swarmId !== undefined, 'a hash is a digest')
  return swarmId
}

/** The roster of epoch 0. */
export function genesisRoster(genesis: GenesisBody): RosterSnapshot {
  return rosterSnapshot(0n, genesis.members)
}

/** The validator set that signs until an entry installs another. */
export function genesisValidators(genesis: GenesisBody): ValidatorSet {
  return validatorSet(0n, genesis.validators)
}

/** Finds the first field group that breaks a rule; the shape has been checked by the codec before. */
export function genesisFault(body: GenesisBody): keyof GenesisBody | undefined {
  if (body.name === '') return 'name'
  if (parseRegion(body.region) === undefined) return 'region'
  if (body.createdMs > LOG_TIME_MS_MAX) return 'createdMs'
  if (!isValidatorList(body.validators)) return 'validators'
  if (!areDistinct(body.mintKeys)) return 'mintKeys'
  if (!isMemberList(body.members)) return 'members'
  if (!pricesInBounds(body.prices) || !quoteFits(body)) return 'prices'
  if (!policyIsSound(body.policy)) return 'policy'
  return startersAreSound(body) ? undefined : 'starters'
}

/** The smallest job has a price: an amount of zero cannot be held. */
function quoteFits({ prices }: GenesisBody): boolean {
  const smallest = { modelMegaParams: 1, promptTokens: 1, maxTokens: 1, replicas: 1, speedTarget: 0 }
  return quote(prices, { ...smallest, task: 'embedding', sampling: { kind: '' } }).hold > 0n
}

function policyIsSound({ attemptsMax, answerMs, commitMs, revealMs, jobMs, auditPermille }: Policy): boolean {
  return (
    attemptsMax >= 1 &&
    attemptsMax <= LIMITS.attemptCountMax &&
    answerMs + commitMs + revealMs <= jobMs &&
    auditPermille <= 1_000
  )
}

function startersAreSound({ starters }: GenesisBody): boolean {
  const sound = starters.every(({ amount }) => amount > 0n && amount <= LIMITS.amountMicroMax)
  return sound && areDistinct(starters.map(({ user }) => user))
}

function areDistinct(keys: readonly PeerId[]): boolean {
  return new Set(keys).size === keys.length
}
