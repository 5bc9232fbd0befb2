/** What every node of a simulated swarm shares: time, chance, the network, the log, the checkers; and who is who. */
import { domainHash } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { type Digest, digestOf, type PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import { DEFAULT_PRICES } from '../../core/ledger/pricing.ts'
import { type Genesis, type GenesisBody, genesisRoster, makeGenesis, type Policy } from '../../core/log/genesis.ts'
import type { Member, RosterSnapshot } from '../../core/roster/roster.ts'
import type { Prng } from '../../node/simulation/prng.ts'
import type { Scheduler } from '../../node/simulation/scheduler.ts'
import type { BugName } from './bugs.ts'
import type { Checkers } from './checkers.ts'
import type { Coverage } from './coverage.ts'
import type { LogService } from './log-service.ts'
import type { Network } from './network.ts'
import type { SimNode } from './node.ts'
import type { Trace } from './trace.ts'

export interface World {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly prng: Prng
  readonly trace: Trace
  readonly coverage: Coverage
  readonly checkers: Checkers
  readonly log: LogService
  readonly genesis: Genesis
  readonly roster: RosterSnapshot
  readonly bug: BugName | undefined
  /** A named moment at which a crash is worth trying; true when the node has crashed and must do nothing more. */
  point(node: SimNode, name: string): boolean
}

export const START_MS = 1_000_000
export const EDGES = ['e0', 'e1'] as const
export const VALIDATORS = ['v0', 'v1', 'v2', 'v3'] as const
export const WORKERS = ['w0', 'w1', 'w2', 'w3', 'w4', 'w5'] as const
export const USERS = ['rich', 'poor'] as const
export const LOG = 'log'
export const CLIENT = 'client'

export const MODEL: Digest = digestOf(domainHash('sim-model'))
export const FACTS: ModelFacts = { megaParams: 3, vocabSize: 1_000, stopIds: [2], dimensions: 0 }
/** The model that embeds. */
export const VECTOR_MODEL: Digest = digestOf(domainHash('sim-vector-model'))
export const VECTOR_FACTS: ModelFacts = { ...FACTS, stopIds: [], dimensions: 8 }

export function factsOf(model: Digest): ModelFacts | undefined {
  if (model === VECTOR_MODEL) return VECTOR_FACTS
  return model === MODEL ? FACTS : undefined
}

/** Short, so that deadlines pass within a run; the order between them is the one of real swarms. */
const POLICY: Policy = {
  attemptsMax: 3,
  answerMs: 400,
  commitMs: 4_000,
  revealMs: 1_500,
  jobMs: 9_000,
  auditPermille: 0,
  epochMs: 0,
}
/** Deadlines pass in the middle of everything. */
const TIGHT_POLICY: Policy = { ...POLICY, answerMs: 150, commitMs: 500, revealMs: 250, jobMs: 900 }

const keys = new Map<string, KeyPair>()
const names = new Map<PeerId, string>()

/** The same name is the same key in every run: admitting a key costs more than all that is done with it. */
export function keyNamed(name: string): KeyPair {
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = keyPairFromSeed(domainHash('sim-key', utf8(name)))
  keys.set(name, key)
  names.set(key.peer, name)
  return key
}

export function nameOf(peer: PeerId): string {
  const name = names.get(peer)
  invariant(name !== undefined, 'a simulated peer has a name')
  return name
}

/** `separate`: nobody has two roles. `overlapping`: a validator works too, another one's owner also has a worker. `local`: one owner. */
export const LAYOUTS = ['separate', 'overlapping', 'local'] as const
export type Layout = (typeof LAYOUTS)[number]

const geneses = new Map<string, Genesis>()

export type GenesisOptions = { readonly layout: Layout; readonly vestMs: bigint; readonly isTight: boolean }

export function genesisOf(options: GenesisOptions): Genesis {
  const name = Object.values(options).join()
  const genesis = geneses.get(name) ?? makeGenesis(genesisBody(options))
  geneses.set(name, genesis)
  return genesis
}

export function rosterOf(genesis: Genesis): RosterSnapshot {
  return genesisRoster(genesis)
}

function genesisBody({ layout, vestMs, isTight }: GenesisOptions): GenesisBody {
  return {
    name: 'simulated',
    region: 'sim',
    createdMs: BigInt(START_MS),
    log: 'etcd',
    local: layout === 'local',
    validators: VALIDATORS.map((name) => keyNamed(name).peer),
    mintKeys: [keyNamed('mint').peer],
    members: [...VALIDATORS, ...WORKERS, ...EDGES].map((name) => memberOf(name, layout)),
    prices: { ...DEFAULT_PRICES, vestMs },
    policy: isTight ? TIGHT_POLICY : POLICY,
    starters: [
      { user: keyNamed('rich').peer, amount: 1_000_000n },
      { user: keyNamed('poor').peer, amount: 40_000n },
    ],
    beacon: digestOf(domainHash('sim-beacon')),
  }
}

const ROLES = { v: 2, w: 1, e: 4 } as const

function memberOf(name: string, layout: Layout): Member {
  const kind = name.charAt(0)
  const role = kind === 'v' ? ROLES.v : kind === 'w' ? ROLES.w : ROLES.e
  const roles = layout !== 'separate' && name === 'v3' ? ROLES.v | ROLES.w : role
  const owner = digestOf(domainHash('sim-owner', utf8(ownerName(name, layout))))
  const block = name === 'w2' || name === 'w3' || name === 'w4' ? 7 : Number(name.charAt(1)) + 10 * name.charCodeAt(0)
  return { peer: keyNamed(name).peer, weight: name === 'w0' ? 3 : 1, roles, owner, block }
}

function ownerName(name: string, layout: Layout): string {
  if (layout === 'local') return 'everybody'
  if (name === 'w1') return 'w0'
  return layout === 'overlapping' && name === 'v2' ? 'w5' : name
}
