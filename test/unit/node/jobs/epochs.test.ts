import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import { sealInvite, sealSpend } from '../../../../core/log/invites.ts'
import { votersOf } from '../../../../core/quorum/certificate.ts'
import { ROLE } from '../../../../core/roster/roster.ts'
import { EpochSwarm } from '../../../support/epoch-swarm.ts'
import { ALICE, MINT_KEY } from '../../../support/log-swarm.ts'
import type { MemoryDisk } from '../../../support/memory-store.ts'
import { missing } from '../../../support/missing.ts'
import { keyNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { within } from '../../../support/within.ts'

const NEWCOMER = keyNamed('newcomer')

/** Lets a worker in by an invite, and everybody hears of it. */
function join(swarm: EpochSwarm, key = NEWCOMER): void {
  const terms = { id: key.publicKey.slice(0, 16), expiresMs: 9_000_000n, forPeer: null, grant: 0n }
  const { swarmId } = swarm.genesis
  const result = swarm.append('invite', sealSpend(swarmId, sealInvite(swarmId, terms, MINT_KEY), ALICE, key))
  assert.is(result.status, 'applied')
  swarm.see(key.peer, { roles: ROLE.worker }, key)
}

function epochIs(swarm: EpochSwarm, epoch: bigint) {
  return () => swarm.log.epoch === epoch
}

/** Every validator ends with the same state, and can name the members that the log's root stands for. */
async function agrees(swarm: EpochSwarm): Promise<readonly PeerId[]> {
  const { rosterRoot, beacon, epoch } = swarm.log
  let members: readonly PeerId[] = []
  for (const node of swarm.nodes.values()) {
    assert.equal([node.state.epoch, node.state.beacon, node.state.rosterRoot], [epoch, beacon, rosterRoot])
    const fetched = node.rosters.fetch(rosterRoot, node.stop.signal)
    await swarm.clock.advance(100)
    const roster = await fetched
    assert.is(roster?.root, rosterRoot)
    members = roster?.members.map(({ peer }) => peer) ?? []
  }
  assert.equal(swarm.bugs, [])
  return members
}

for (const validators of [1, 4, 13]) {
  test(
    `${validators} of ${validators} validators bring a newcomer in, and then leave the log in peace`,
    within(10_000, async () => {
      const swarm = new EpochSwarm({ validators })
      swarm.startAll()
      // A genesis without roles or blocks of records: the first roster differs from it, and so does the one with the newcomer.
      await swarm.until(epochIs(swarm, 1n), 10_000)
      join(swarm)
      const tookMs = await swarm.until(epochIs(swarm, 2n), 12_000)
      assert.ok(tookMs >= 3_000, `not before its time: ${tookMs}`)
      assert.ok((await agrees(swarm)).includes(NEWCOMER.peer))
      const { length } = swarm.entries
      await swarm.clock.advance(90_000)
      assert.is(swarm.entries.length, length)
      await swarm.stopAll()
    }),
  )
}

test(
  'a beacon that draws have used is replaced after the time of an epoch',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.until(epochIs(swarm, 1n), 10_000)
    const { beacon } = swarm.log
    // Bound to nobody who is seen: the log goes on, the members stay.
    const terms = { id: new Uint8Array(16), expiresMs: 9_000_000n, forPeer: null, grant: 0n }
    const { swarmId } = swarm.genesis
    swarm.append('invite', sealSpend(swarmId, sealInvite(swarmId, terms, MINT_KEY), ALICE, NEWCOMER))
    const tookMs = await swarm.until(epochIs(swarm, 2n), 45_000)
    assert.ok(tookMs >= 25_000, `${tookMs}`)
    assert.is.not(swarm.log.beacon, beacon)
    await swarm.stopAll()
  }),
)

test(
  'with a quarter of the messages lost, epochs go on and everybody agrees',
  within(14_000, async () => {
    const seed = testSeed()
    const network = { dropPermille: 250, delayMs: () => 20 }
    const swarm = new EpochSwarm({ validators: 4, network, seed })
    swarm.startAll()
    for (let epoch = 1n; epoch <= 4n; epoch++) {
      await swarm.until(epochIs(swarm, epoch), 120_000)
      if (epoch < 4n) join(swarm, keyNamed(`late ${epoch}`))
    }
    assert.is(swarm.log.epoch, 4n)
    assert.equal(swarm.bugs, [])
    await swarm.stopAll()
  }),
)

test(
  'a validator that is down is passed over, and one that comes back catches up with the roster',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.kill(1)
    await swarm.until(epochIs(swarm, 1n), 20_000)
    for (const place of [2, 3, 0]) {
      join(swarm, keyNamed(`joined ${place}`))
      await swarm.until(epochIs(swarm, swarm.log.epoch + 1n), 25_000)
    }
    assert.is(swarm.log.epoch, 4n)
    swarm.start(1)
    assert.is((await agrees(swarm)).length, 6 + 3)
    await swarm.stopAll()
  }),
)

test(
  'when the leader dies between roster and beacon the next one brings the beacon',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.until(() => swarm.log.nextRoster !== null, 10_000)
    const turn = Math.floor((swarm.clock.nowMs() - Number(swarm.genesis.createdMs)) / 4_000)
    await swarm.kill((1 + turn) % 4)
    await swarm.until(epochIs(swarm, 1n), 20_000)
    assert.is(swarm.log.nextRoster, null)
    await swarm.stopAll()
  }),
)

test(
  'after all of them died between roster and beacon, three that come back go on from their disks',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.until(() => swarm.log.nextRoster !== null, 10_000)
    const disks: MemoryDisk[] = []
    for (const place of [0, 1, 2, 3]) disks.push((await swarm.kill(place)).disk)
    await swarm.clock.advance(60_000)
    for (const place of [0, 1, 2]) swarm.start(place, { disk: disks[place] ?? missing('a validator of the four') })
    await swarm.until(epochIs(swarm, 1n), 30_000)
    await swarm.stopAll()
  }),
)

test(
  'a validator that committed and does not reveal forfeits: its standing says so, and the beacon comes without it',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.until(() => swarm.log.nextRoster !== null, 10_000)
    const silent = swarm.keys[2]?.peer ?? missing('a validator of the four')
    await swarm.kill(2)
    const tookMs = await swarm.until(epochIs(swarm, 1n), 20_000)
    const forfeits = swarm.log.peers.get(silent)?.forfeits
    // It may have revealed to one of the others before it died: then nobody may say that it did not.
    assert.ok(forfeits === 1 ? tookMs >= 2_900 : forfeits === 0)
    await swarm.stopAll()
  }),
)

test(
  'a validator behind the log waits for the entry that a proposal was made on',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    const nodes = swarm.startAll()
    await swarm.until(epochIs(swarm, 1n), 10_000)
    // One is down and one lags: without the one that lags there is no quorum.
    await swarm.kill(3)
    const slow = nodes[2] ?? missing('a validator of the four')
    slow.lags = true
    join(swarm)
    const catching = setInterval(() => {
      slow.lags = false
      swarm.catchUp(slow)
      slow.lags = true
    }, 1)
    try {
      await swarm.until(epochIs(swarm, 2n), 60_000)
    } finally {
      clearInterval(catching)
    }
    slow.lags = false
    swarm.catchUp(slow)
    assert.ok((await agrees(swarm)).includes(NEWCOMER.peer))
    assert.ok(votersOf(swarm.log.validators, 0b0111).length === 3)
    await swarm.stopAll()
  }),
)

test(
  'validators that die and come back at random, over a lossy network, never stop for good and never disagree',
  within(14_000, async () => {
    const random = seededRandom(testSeed())
    const network = { dropPermille: 100, delayMs: () => random.below(60), reorder: true }
    const swarm = new EpochSwarm({ validators: 4, network, seed: random.below(2 ** 31) })
    const disks: MemoryDisk[] = swarm.startAll().map(({ disk }) => disk)
    let down: number | undefined
    for (let round = 0; round < 12; round++) {
      join(swarm, keyNamed(`round ${round}`))
      await swarm.clock.advance(random.below(9_000))
      if (down !== undefined) swarm.start(down, { disk: disks[down] ?? missing('a disk') })
      down = random.below(3) === 0 ? undefined : random.below(4)
      if (down !== undefined) disks[down] = (await swarm.kill(down)).disk
    }
    if (down !== undefined) swarm.start(down, { disk: disks[down] ?? missing('a disk') })
    const { epoch } = swarm.log
    // How many there are depends on how long the rounds were: that they go on is asked below.
    assert.ok(epoch >= 1n, `epoch ${epoch}`)
    join(swarm)
    await swarm.until(() => swarm.log.epoch > epoch && swarm.log.nextRoster === null, 120_000)
    const roots = new Map<string, string>()
    for (const { state } of swarm.nodes.values())
      for (const [name, { beacon, rosterRoot }] of state.epochs.entries()) {
        const said = `${beacon}/${rosterRoot}`
        assert.is(roots.get(name) ?? said, said)
        roots.set(name, said)
      }
    assert.equal(swarm.bugs, [])
    await swarm.stopAll()
  }),
)

test.run()
