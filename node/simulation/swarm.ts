/** Who is in a simulated swarm: keys, kinds, weights, genesis, and the roster of epoch 1 that the peers are drawn from. */
import { domainHash } from '#core/hash'
import { u32be, utf8 } from '../../core/codec/bytes.ts'
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { type Digest, digestOf, keyOf, type PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import { DEFAULT_PRICES } from '../../core/ledger/pricing.ts'
import { LIMITS } from '../../core/limits.ts'
import { type Genesis, makeGenesis, type Policy } from '../../core/log/genesis.ts'
import { type Member, ROLE, type RosterSnapshot, rosterSnapshot } from '../../core/roster/roster.ts'
import { rankedNatively } from '../../native/index.ts'
import { PEER_KINDS, type PeerKind, type SimulationRequest } from '../runtime/simulation.ts'
import type { Prng } from './prng.ts'

/** Log time at which a simulation begins; reports count from here. */
export const START_MS = 1_000_000
export const REGION = 'simulation'
export const MODEL: Digest = digestOf(domainHash('simulated-model'))
export const VOCABULARY_SIZE = 32_000
export const STOP_ID = 2

/** Shorter than a real swarm's, in the same order: a deadline passes within a minute of virtual time. */
export const POLICY: Policy = {
  attemptsMax: LIMITS.attemptCountMax,
  answerMs: 2_000,
  commitMs: 20_000,
  revealMs: 5_000,
  jobMs: 60_000,
  auditPermille: 0,
  epochMs: 0,
}

/** One peer in two has weight 1, one in four 2, one in eight 4 and one in eight 8. */
const WEIGHTS = [1, 1, 1, 1, 2, 2, 4, 8] as const
const TOKEN_MS_MIN = 4
const TOKEN_MS_MAX = 20
const SLOW_FACTOR_MIN = 4
const SLOW_FACTOR_MAX = 60

export type SimulatedPeer = {
  readonly key: KeyPair
  readonly kind: PeerKind
  readonly weight: number
  /** Virtual time of one output token. */
  readonly tokenMs: number
}

export type Swarm = {
  readonly genesis: Genesis
  readonly roster: RosterSnapshot
  /** Of epoch 1; nobody knew it when the roster was fixed. */
  readonly beacon: Digest
  readonly edge: KeyPair
  readonly users: readonly KeyPair[]
  readonly validators: readonly KeyPair[]
  /** The first of them lie, crash and so on; validators of the same place are Byzantine first. */
  readonly peers: ReadonlyMap<PeerId, SimulatedPeer>
  readonly facts: (model: Digest) => ModelFacts | undefined
}

export function createSwarm(request: SimulationRequest, seed: number, prng: Prng): Swarm {
  const [edge] = keysOf('edge', 1)
  invariant(edge !== undefined, 'a swarm has an edge')
  const users = keysOf('user', request.users)
  const validators = keysOf('validator', request.validators)
  const peers = simulatedPeers(request, prng)
  const core = [
    ...validators.map(({ peer }, place) => memberOf(peer, 1, ROLE.validator, place)),
    memberOf(edge.peer, 1, ROLE.edge, validators.length),
  ]
  const workers = peers.map(({ key, weight }, place) => memberOf(key.peer, weight, ROLE.worker, core.length + place))
  const genesis = makeGenesis({
    ...{ name: 'simulation', region: REGION, createdMs: BigInt(START_MS), log: 'sqlite', local: false },
    ...{ validators: validators.map(({ peer }) => peer), mintKeys: [], members: core },
    ...{ prices: { ...DEFAULT_PRICES, reportPermille: 0 }, policy: POLICY, beacon: seeded('beacon 0', seed) },
    starters: users.map(({ peer }) => ({ user: peer, amount: request.userBudget })),
  })
  const facts = factsOf(request)
  return {
    ...{ genesis, beacon: seeded('beacon 1', seed), edge, users, validators },
    roster: rankedNatively(rosterSnapshot(1n, [...core, ...workers])),
    peers: new Map(peers.map((peer) => [peer.key.peer, peer])),
    facts: (model) => (model === MODEL ? facts : undefined),
  }
}

function factsOf({ model }: SimulationRequest): ModelFacts {
  return { megaParams: model.megaParams, vocabSize: VOCABULARY_SIZE, stopIds: [STOP_ID], dimensions: 0 }
}

/** The same names are the same keys in every simulation: admitting a key costs more than all that is done with it. */
function keysOf(role: string, count: number): readonly KeyPair[] {
  return Array.from({ length: count }, (_, place) =>
    keyPairFromSeed(domainHash('simulated-key', utf8(role), u32be(place))),
  )
}

function seeded(name: string, seed: number): Digest {
  return digestOf(domainHash('simulated-seed', utf8(name), u32be(seed)))
}

/** Everybody is their own owner in their own address block: no cap of the draw binds, and weights alone decide. */
function memberOf(peer: PeerId, weight: number, roles: number, block: number): Member {
  return { peer, weight, roles, owner: digestOf(keyOf(peer)), block }
}

function simulatedPeers(request: SimulationRequest, prng: Prng): readonly SimulatedPeer[] {
  const kinds = shuffled(kindsOf(request), prng)
  return keysOf('peer', request.peers).map((key, place) => {
    const kind = kinds[place] ?? 'honest'
    const tokenMs = prng.between(TOKEN_MS_MIN, TOKEN_MS_MAX)
    const factor = kind === 'slow' ? prng.between(SLOW_FACTOR_MIN, SLOW_FACTOR_MAX) : 1
    return { key, kind, weight: prng.pick(WEIGHTS), tokenMs: tokenMs * factor }
  })
}

function kindsOf({ peers, faults }: SimulationRequest): readonly PeerKind[] {
  const faulty = PEER_KINDS.flatMap((kind): PeerKind[] =>
    kind === 'honest' ? [] : new Array<PeerKind>(Math.round(peers * faults[kind])).fill(kind),
  )
  return [...faulty, ...new Array<PeerKind>(peers).fill('honest')].slice(0, peers)
}

/** Fisher and Yates. */
function shuffled<T>(list: readonly T[], prng: Prng): readonly T[] {
  const mixed = [...list]
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = prng.below(last + 1)
    const [a, b] = [mixed[last], mixed[other]]
    if (a !== undefined && b !== undefined) [mixed[last], mixed[other]] = [b, a]
  }
  return mixed
}
