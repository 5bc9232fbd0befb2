/** Rosters by their root: in memory, on disk, and from other peers when they are not here. */
import { defineBody, digest } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import type { Digest, PeerId } from '../../core/ids.ts'
import { type Genesis, genesisRoster } from '../../core/log/genesis.ts'
import type { LogState } from '../../core/log/state.ts'
import { decodeRoster, encodeRoster, type RosterSnapshot } from '../../core/roster/roster.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Store } from '../runtime/ports.ts'
import { taken } from './taken.ts'

export type RosterPorts = {
  readonly genesis: Genesis
  readonly store: Pick<Store, 'roster' | 'commit'>
  readonly transport: PeerTransport
  /** Whom to ask, in order: validators first, they keep what they certify. */
  readonly peers: () => readonly PeerId[]
  /** Gives a roster a faster way to rank; absent: the reference ranks. */
  readonly ranked?: (roster: RosterSnapshot) => RosterSnapshot
}

const rosterRequestCodec = defineBody('roster-request', { root: digest() }, 64)
/** In memory: open jobs name the rosters of the last few epochs. */
const ROSTERS_MAX = 16
const ASKED_MAX = 8
const ASK_MS = 2_000

/** Also answers `roster/get` of others. */
export function createRosters(ports: RosterPorts): Rosters {
  const { store, transport, peers, ranked = (roster) => roster } = ports
  const first = ranked(genesisRoster(ports.genesis))
  const known = new Map<string, RosterSnapshot>()
  const fetching = new Map<Digest, Promise<RosterSnapshot | undefined>>()

  const of = (root: Digest): RosterSnapshot | undefined => {
    if (root === first.root) return first
    const bytes = known.has(root) ? undefined : store.roster(root)
    return bytes === undefined ? known.get(root) : remember(ranked(taken(decodeRoster(bytes))))
  }
  const remember = (roster: RosterSnapshot) => rememberWithin(known, roster.root, roster, ROSTERS_MAX)
  const put = async (roster: RosterSnapshot): Promise<void> => {
    if (of(roster.root) !== undefined) return
    const { root, epoch } = roster
    await store.commit([{ table: 'roster', root, epoch, bytes: encodeRoster(roster) }])
    remember(ranked(roster))
  }
  const ask = async (root: Digest, signal: AbortSignal): Promise<RosterSnapshot | undefined> => {
    const others = peers().filter((peer) => peer !== transport.self)
    for (const peer of others.slice(0, ASKED_MAX)) {
      if (signal.aborted) return undefined
      const roster = await askPeer(transport, peer, root, signal)
      if (roster === undefined) continue
      await put(roster)
      return of(root)
    }
    return undefined
  }
  transport.onMessage('roster/get', async (_from, body) => {
    const roster = of(taken(rosterRequestCodec.decode(body)).root)
    if (roster === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'roster_unknown' })
    return encodeRoster(roster)
  })
  return {
    of,
    put,
    async fetch(root, signal) {
      const here = of(root)
      if (here !== undefined) return here
      const asked = fetching.get(root) ?? ask(root, signal).finally(() => fetching.delete(root))
      fetching.set(root, asked)
      return asked
    },
  }
}

/** @returns undefined when the peer does not answer, has none, or gives another one */
async function askPeer(
  transport: PeerTransport,
  peer: PeerId,
  root: Digest,
  signal: AbortSignal,
): Promise<RosterSnapshot | undefined> {
  const body = rosterRequestCodec.encode({ root })
  try {
    const decoded = decodeRoster(await transport.request(peer, 'roster/get', body, { deadlineMs: ASK_MS, signal }))
    return decoded.action === 'accept' && decoded.value.root === root ? decoded.value : undefined
  } catch (error) {
    if (error instanceof FabricError || signal.aborted) return undefined
    throw error
  }
}

const FOLLOW_MS = 250
const RETRY_MS = 500

/** Keeps the rosters of this epoch and of the next here, so that a draw need not wait for them. Ends when the signal aborts. */
export async function followRosters(
  rosters: Rosters,
  { state, clock }: { readonly state: () => LogState; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { rosterRoot, nextRoster } = state()
    const roots = nextRoster === null ? [rosterRoot] : [rosterRoot, nextRoster.root]
    const found = await Promise.all(roots.map((root) => rosters.fetch(root, signal)))
    await clock.sleep(found.includes(undefined) ? RETRY_MS : FOLLOW_MS, signal).catch(() => {})
  }
}
