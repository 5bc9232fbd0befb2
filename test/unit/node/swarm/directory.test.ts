import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import type { PeerSight, PeerState } from '../../../../node/runtime/mesh.ts'
import { PeerDirectory } from '../../../../node/swarm/directory.ts'
import { LogSwarm } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'
import { tempFolder } from '../../../support/temp-folder.ts'

const [SELF, DOOR, OTHER] = ['self', 'door', 'other'].map((name) => keyNamed(name).peer) as [PeerId, PeerId, PeerId]
const sightOf = (peer: PeerId, state: PeerState, addresses: string[]): PeerSight => ({
  ...{ peer, state, envelope: new Uint8Array(), rttMs: null, sinceMs: 0 },
  record: {
    ...{ addresses, region: 'main', roles: 1, models: [], load: 0, slots: 1, factorPermille: 1_000, version: '0' },
    ...{ hardware: { device: 'cpu', memoryMiB: 1, threads: 1 }, incarnation: 1n, sequence: 1n },
  },
})
const here = (): string => join(tempFolder(), 'peers.json')

test('before the log is followed only those are members whom the invite or the last run names', () => {
  const directory = new PeerDirectory(here())
  directory.hint({ peer: DOOR, addresses: ['192.0.2.1:7734'] })
  assert.is(directory.standingOf(DOOR), 'member')
  assert.is(directory.standingOf(OTHER), 'stranger')
  const swarm = new LogSwarm()
  directory.state = () => swarm.state
  assert.is(directory.standingOf(DOOR), 'stranger', 'from then on the log says who is in')
  assert.is(directory.standingOf(swarm.state.validators.keys[0] as PeerId), 'member')
})

test('what a peer says of itself comes before a hint, nothing is named twice, and nonsense is left out', () => {
  const directory = new PeerDirectory(here())
  directory.hint({ peer: DOOR, addresses: ['192.0.2.1:1', '192.0.2.1:2', 'nonsense'] })
  directory.sights = (peer) => (peer === DOOR ? sightOf(peer, 'alive', ['192.0.2.1:2', '192.0.2.9:3']) : undefined)
  assert.equal(
    directory.addressesOf(DOOR).map((address) => (address.kind === 'direct' ? address.port : 0)),
    [2, 3, 1],
  )
  assert.equal(directory.addressesOf(OTHER), [])
})

test('known peers are kept for the next start, the living first, without this node and those that left', async () => {
  const path = here()
  const directory = new PeerDirectory(path)
  const sights = [
    sightOf(SELF, 'alive', ['192.0.2.5:5']),
    sightOf(DOOR, 'dead', ['192.0.2.1:1']),
    sightOf(OTHER, 'alive', ['192.0.2.2:2']),
    sightOf(keyNamed('gone').peer, 'left', ['192.0.2.3:3']),
  ]
  await directory.save(sights, SELF)
  assert.is(statSync(path).mode & 0o077, 0, 'nobody else reads it')
  const again = new PeerDirectory(path)
  await again.restore()
  assert.equal(again.hinted, [OTHER, DOOR])
  await again.save([sightOf(SELF, 'alive', ['192.0.2.5:5'])], SELF)
  assert.match(readFileSync(path, 'utf8'), new RegExp(OTHER), 'a node that sees nobody forgets nobody')
})

test('a file that is no list of peers is as good as none', async () => {
  for (const text of ['', '{', '{}', '[1, null, {"peer": 1}, {"peer": "cf1", "addresses": []}]']) {
    const path = here()
    writeFileSync(path, text)
    const directory = new PeerDirectory(path)
    await directory.restore()
    assert.equal(directory.hinted, [], text)
  }
})

test.run()
