/** What a node says of itself to others, and how it shows them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROLE, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { peersText } from '../../../../node/commands/peers.ts'
import { statusText } from '../../../../node/commands/status.ts'
import { peerJson } from '../../../../node/control/present.ts'
import type { PeerView } from '../../../../node/runtime/app.ts'
import type { PeerSight } from '../../../../node/runtime/mesh.ts'
import { gatewayCandidates, SelfDescription } from '../../../../node/swarm/self-record.ts'
import { logNote, swarmPeers } from '../../../../node/swarm/views.ts'
import { digestFor, fakePool, NEVER } from '../../../support/fake-pool.ts'
import { LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const FACTS = {
  ...{ region: 'main', isValidator: false, threads: 3, slots: 4 },
  ...{ version: '1.2.3-with-a-name-that-is-far-too-long', addresses: () => ['192.0.2.1:7734'] },
}
const RECORD = {
  ...new SelfDescription(FACTS, fakePool([]).pool).record(),
  ...{ models: [{ digest: digestNamed('model'), tokensPerSecond: 40 }], incarnation: 1n, sequence: 1n },
}

function sight(name: string, parts: Partial<PeerSight> = {}, record: Partial<PeerSight['record']> = {}): PeerSight {
  return {
    ...{ peer: keyNamed(name).peer, state: 'alive', envelope: new Uint8Array(), rttMs: 12.3, sinceMs: 0 },
    ...parts,
    record: { ...RECORD, ...record },
  }
}

function seen(sights: readonly PeerSight[], validators = 4): ReadonlyMap<string, PeerView> {
  const names = Array.from({ length: validators }, (_, place) => keyNamed(`v${place}`).peer)
  const { state } = new LogSwarm({ validators: names })
  const members = ['v0', 'w0', 'w1', 'w2', 'w3'].map((name) => memberNamed(name, { weight: 8, roles: ROLE.worker }))
  const nameOf = (): string => 'tiny'
  const roster = rosterSnapshot(
    0n,
    members.toSorted((a, b) => (a.peer < b.peer ? -1 : 1)),
  )
  const peers = swarmPeers({ self: keyNamed('w0').peer, state, roster, sights, nameOf })
  return new Map(peers.map((peer) => [peer.id, peer]))
}

test('everybody of the roster and everybody seen is shown, with why not who cannot be drawn', () => {
  const peers = seen([
    sight('w0', { rttMs: null }),
    sight('w1', { state: 'dead' }),
    sight('w2', { state: 'left' }),
    sight('w3', {}, { models: [] }),
    sight('newcomer'),
  ])
  const why = (name: string): string | null | undefined => peers.get(keyNamed(name).peer)?.ineligible
  assert.is(peers.size, 6)
  assert.is(why('w0'), null)
  assert.match(String(why('v0')), 'not been seen')
  assert.match(String(why('w1')), 'does not answer')
  assert.match(String(why('w2')), 'has left')
  assert.match(String(why('w3')), 'no model')
  assert.match(String(why('newcomer')), 'the next one will have it')
})

test('who is barred from audits is shown so by the roster, whatever it says of itself', () => {
  const roles = ROLE.worker | ROLE.barred
  const members = [memberNamed('w0', { roles }), memberNamed('w1', { roles: ROLE.worker })]
  const { state } = new LogSwarm()
  const sights = [sight('w0'), sight('w1', {}, { roles })]
  const facts = { self: keyNamed('w0').peer, state, sights, nameOf: (): string => 'tiny' }
  const peers = swarmPeers({ ...facts, roster: rosterSnapshot(0n, members) })
  const rolesOf = (name: string) => peers.find(({ id }) => id === keyNamed(name).peer)?.roles
  assert.equal([rolesOf('w0'), rolesOf('w1')], [['worker', 'edge', 'barred'], ['worker']])
})

test('a validator that too few could judge is said to be one', () => {
  const peer = seen([sight('v0')], 1).get(keyNamed('v0').peer)
  assert.match(String(peer?.ineligible), 'too few validators')
  assert.is(seen([sight('v0')]).get(keyNamed('v0').peer)?.ineligible, null)
})

test('the table of peers shows state, round trip, load, rate, models and the reason', () => {
  const peers = [...seen([sight('w0', { rttMs: null }), sight('w1', {}, { load: 4 }), sight('w2', { rttMs: 3.21 })])]
  const text = peersText({ items: peers.map(([, peer]) => JSON.parse(JSON.stringify(peerJson(peer)))) })
  const row = (name: string): string =>
    text.split('\n').find((line) => line.startsWith(keyNamed(name).peer.slice(0, 12))) ?? ''
  assert.match(row('w0'), /\(this node\) +alive +- +worker,edge +main +8 +0\/4 +40 +tiny +yes/)
  assert.match(row('w1'), /alive +12 ms +worker,edge +main +8 +2\/4 +40 +tiny +yes/)
  assert.match(row('w2'), / 3\.2 ms /)
  assert.match(row('w3'), /dead +- .* no: it has not been seen/)
})

test(
  'a record names what the node could run, how fast it was, and how busy it is',
  within(5_000, async () => {
    const { pool, member } = fakePool(['one', 'two'])
    const self = new SelfDescription(FACTS, pool)
    assert.equal(
      self.record().models.map(({ digest }) => digest),
      [digestFor('one'), digestFor('two')],
    )
    assert.is(self.record().roles, ROLE.worker | ROLE.edge)
    assert.is(
      new SelfDescription({ ...FACTS, isValidator: true }, pool).record().roles & ROLE.validator,
      ROLE.validator,
    )
    assert.is(self.record().version.length, 24, 'cut to what a record holds')
    assert.is(self.record().load, 0)
    await pool.load(member('one'), NEVER)
    assert.is(self.record().load, 0, 'nothing runs')
    member('one').isGone = true
    assert.equal(
      self.record().models.map(({ digest }) => digest),
      [digestFor('two')],
    )
  }),
)

test('gateways are edges and validators that can be dialled, the least loaded first, and never the node itself', () => {
  const sights = [
    sight('self'),
    sight('busy', {}, { load: 6 }),
    sight('calm', {}, { load: 1 }),
    sight('dead', { state: 'dead' }),
    sight('worker', {}, { roles: ROLE.worker }),
    sight('behind', {}, { addresses: [`relay:${keyNamed('calm').peer}`] }),
  ]
  const candidates = gatewayCandidates({ sights: () => sights }, keyNamed('self').peer)
  assert.equal(candidates, [keyNamed('calm').peer, keyNamed('busy').peer])
  assert.equal(gatewayCandidates(undefined, keyNamed('self').peer), [])
})

test('status tells who could stop the swarm, and a swarm of one machine says nothing of a mesh', () => {
  const swarm = new LogSwarm()
  assert.match(logNote(swarm.state, undefined), `single point of failure: the database of ${keyNamed('v0').peer}`)
  assert.match(logNote(new LogSwarm({ log: 'etcd' }).state, undefined), 'replicated')
  assert.match(logNote(new LogSwarm({ local: true }).state, undefined), 'on this machine')
  const mesh = { addresses: ['192.0.2.1:7734'], links: 2, alive: 3, known: 4 }
  assert.match(
    statusText({ mesh, epoch: '7' }),
    /epoch +7\n.*reached at +192\.0\.2\.1:7734\n.*3 alive of 4 known, 2 conn/,
  )
  assert.not.match(statusText({ mesh: null }), 'reached at')
})

test.run()
