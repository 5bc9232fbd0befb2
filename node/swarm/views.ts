/** The swarm as `peers` and `status` show it. */
import type { Digest, PeerId } from '../../core/ids.ts'
import { mayWork, offersWork } from '../../core/log/draw.ts'
import type { LogState } from '../../core/log/state.ts'
import { LOAD_STEPS } from '../../core/roster/record.ts'
import { type Member, ROLE, type RosterSnapshot } from '../../core/roster/roster.ts'
import type { ModelPool } from '../jobs/pool/model-pool.ts'
import type { PeerView, StatusView } from '../runtime/app.ts'
import type { PeerSight } from '../runtime/mesh.ts'
import type { Network } from './networked.ts'

const ROLE_NAMES = ['worker', 'validator', 'edge', 'barred'] as const

export type PeerFacts = {
  readonly self: PeerId
  readonly state: LogState
  readonly roster: RosterSnapshot | undefined
  readonly sights: readonly PeerSight[]
  /** What people call a model; its digest when nobody here knows it. */
  readonly nameOf: (digest: Digest) => string
}

/** Everybody of the roster and everybody seen, in PeerId order. */
export function swarmPeers({ self, state, roster, sights, nameOf }: PeerFacts): readonly PeerView[] {
  const members = new Map(roster?.members.map((member) => [member.peer, member]))
  const seen = new Map(sights.map((sight) => [sight.peer, sight]))
  const peers = [...new Set([...members.keys(), ...seen.keys()])].sort()
  return peers.map((peer) => {
    const [member, sight] = [members.get(peer), seen.get(peer)]
    const record = sight?.record
    return {
      ...{ id: peer, self: peer === self, state: sight?.state ?? 'dead' },
      region: record?.region ?? state.genesis.region,
      weight: member?.weight ?? 0,
      // What it offers it says itself; what it is barred from the roster says.
      roles: rolesIn(((record?.roles ?? member?.roles ?? 0) & ~ROLE.barred) | ((member?.roles ?? 0) & ROLE.barred)),
      models: (record?.models ?? []).map(({ digest }) => nameOf(digest)),
      addresses: record?.addresses ?? [],
      rttMs: sight?.rttMs ?? null,
      load: record === undefined ? null : record.load / LOAD_STEPS,
      slots: record?.slots ?? null,
      tokensPerSecond: Math.max(0, ...(record?.models ?? []).map(({ tokensPerSecond }) => tokensPerSecond)),
      ineligible: whyNot(sight, member, state),
    }
  })
}

export type LocalFacts = Pick<PeerFacts, 'self' | 'state' | 'roster'> & {
  readonly pool: ModelPool
  /** A model that is not in memory is loaded when it is asked for. */
  readonly loads: boolean
}

/** Peers that all live in this process, and share its models. */
export function localPeers({ self, state, roster, pool, loads }: LocalFacts): readonly PeerView[] {
  const held = pool.members.filter(({ ready }) => ready !== undefined)
  const rate = Math.max(0, ...held.map(({ resident }) => resident?.speed.pace ?? 0))
  return (roster?.members ?? []).map(({ peer, roles, weight }) => ({
    ...{ id: peer, self: peer === self, state: 'alive', region: state.genesis.region, weight },
    ...{ models: held.map(({ entry }) => entry.id), roles: rolesIn(roles) },
    ...{ addresses: [], rttMs: null, load: null, slots: null, tokensPerSecond: Math.round(rate) },
    ineligible: held.length === 0 && !loads ? 'its model is not loaded' : null,
  }))
}

function rolesIn(roles: number): readonly string[] {
  return ROLE_NAMES.filter((role) => (roles & ROLE[role]) !== 0)
}

/** @returns null for a peer that may be drawn */
function whyNot(sight: PeerSight | undefined, member: Member | undefined, { epoch, genesis }: LogState): string | null {
  if (sight === undefined) return 'it has not been seen since this node started'
  if (sight.state === 'dead' || sight.state === 'left')
    return sight.state === 'dead' ? 'it does not answer' : 'it has left'
  if (member === undefined) return `it is not in the roster of epoch ${epoch}; the next one will have it`
  if (!offersWork(member)) return 'it does not offer to work'
  if (!mayWork(genesis)(member)) return 'too few validators could judge its work: it or its owner is one of them'
  return sight.record.models.length === 0 ? 'it holds no model' : null
}

/** Who could stop the swarm by going away. */
export function logNote({ genesis }: LogState, network: Network | undefined): string {
  if (genesis.local) return 'single point of failure: one database on this machine'
  if (genesis.log === 'sqlite') return `single point of failure: the database of ${genesis.validators[0] ?? 'nobody'}`
  return network?.isValidator === true ? 'replicated' : 'replicated, read through validators'
}

export function meshView(network: Network | undefined, sights: readonly PeerSight[]): StatusView['mesh'] {
  if (network === undefined) return null
  const alive = sights.filter(({ state }) => state === 'alive').length
  return { addresses: network.addresses(), links: network.transport.links().length, alive, known: sights.length }
}
