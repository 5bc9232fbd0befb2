import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Digest } from '../../../../core/ids.ts'
import { genesisRoster, makeGenesis } from '../../../../core/log/genesis.ts'
import { type RosterSnapshot, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { createRosters, followRosters } from '../../../../node/jobs/rosters.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { genesisBody, LogSwarm } from '../../../support/log-swarm.ts'
import { createMemoryDisk, createMemoryStore } from '../../../support/memory-store.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const GENESIS = makeGenesis(genesisBody())
const ROSTER = rosterSnapshot(1n, [memberNamed('w0'), memberNamed('w1', { weight: 9 })])

function peers(...names: readonly string[]) {
  const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
  return names.map((name) => {
    const disk = createMemoryDisk()
    const transport = network.endpoint(keyNamed(name).peer)
    const others = () => names.map((one) => keyNamed(one).peer)
    const open = (over: PeerTransport = transport) =>
      createRosters({ genesis: GENESIS, store: createMemoryStore(disk), transport: over, peers: others })
    return { disk, transport, open, rosters: open() }
  })
}

test(
  'what one peer keeps another fetches by its root, and keeps too',
  within(5_000, async (signal) => {
    const [one, other] = peers('v0', 'v1')
    assert.ok(one !== undefined && other !== undefined)
    await one.rosters.put(ROSTER)
    assert.is(other.rosters.of(ROSTER.root), undefined)
    const [fetched, again] = await Promise.all([
      other.rosters.fetch(ROSTER.root, signal),
      other.rosters.fetch(ROSTER.root, signal),
    ])
    assert.equal(fetched, ROSTER)
    assert.is(again, fetched)
    assert.ok(other.disk.rosters.has(ROSTER.root))
    assert.is(other.rosters.of(ROSTER.root), fetched)
  }),
)

test(
  'the roster of epoch 0 is the one of the genesis, and nobody has to be asked for it',
  within(5_000, async (signal) => {
    const [alone] = peers('v0')
    assert.ok(alone !== undefined)
    const { root } = genesisRoster(GENESIS)
    assert.is(alone.rosters.of(root)?.root, root)
    assert.is((await alone.rosters.fetch(root, signal))?.members.length, GENESIS.members.length)
    assert.is(await alone.rosters.fetch(digestNamed('nobody has it'), signal), undefined)
  }),
)

test(
  'a roster that does not have the root that was asked for is not taken from anybody',
  within(5_000, async (signal) => {
    const [liar, honest, asker] = peers('v0', 'v1', 'v2')
    assert.ok(liar !== undefined && honest !== undefined && asker !== undefined)
    const wrong = rosterSnapshot(1n, [memberNamed('w0', { weight: 64 })])
    const lying: RosterSnapshot = { ...wrong, root: ROSTER.root }
    await liar.rosters.put(lying)
    assert.is(await asker.rosters.fetch(ROSTER.root, signal), undefined)
    await honest.rosters.put(ROSTER)
    assert.equal(await asker.rosters.fetch(ROSTER.root, signal), ROSTER)
  }),
)

test(
  'after a restart rosters are read from the disk',
  within(5_000, async () => {
    const [one] = peers('v0')
    assert.ok(one !== undefined)
    await one.rosters.put(ROSTER)
    const silent: PeerTransport = { ...one.transport, self: one.transport.self, onMessage: () => undefined }
    assert.equal(one.open(silent).of(ROSTER.root), ROSTER)
  }),
)

test(
  'whoever follows has the roster of the current epoch soon after it began',
  within(5_000, async (signal) => {
    const [validator, follower] = peers('v0', 'w0')
    assert.ok(validator !== undefined && follower !== undefined)
    const { state } = new LogSwarm()
    const stop = new AbortController()
    const ports = { state: () => state, clock: systemClock }
    const following = followRosters(follower.rosters, ports, AbortSignal.any([signal, stop.signal]))
    await validator.rosters.put(ROSTER)
    const root: Digest = ROSTER.root
    state.rosterRoot = root
    while (follower.rosters.of(root) === undefined) await systemClock.sleep(20, signal)
    stop.abort()
    await following
  }),
)

test.run()
