import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../../../../../node/mesh/tls/gate.ts'
import { Graylist } from '../../../../../node/mesh/tls/graylist.ts'
import { MESH_LIMITS } from '../../../../../node/mesh/tls/options.ts'
import { addressBlock, keepNewest, Rates } from '../../../../../node/mesh/tls/rate.ts'
import { Room } from '../../../../../node/mesh/tls/room.ts'
import { PENALTY_REASONS } from '../../../../../node/runtime/mesh.ts'
import { manualClock } from '../../../../support/manual-clock.ts'
import { keyOfSeed } from '../../../../support/mesh.ts'

const [a, b] = [keyOfSeed(1).peer, keyOfSeed(2).peer]

test('a bucket gives its burst at once, then its rate, and never more than its burst', async () => {
  const clock = manualClock(0)
  const rates = new Rates(10, 3, clock)
  const taken = (): number => Array.from({ length: 10 }, () => rates.take('a')).filter((allowed) => allowed).length
  assert.is(taken(), 3)
  assert.ok(rates.take('b'), 'another name has its own')
  await clock.advance(200)
  assert.is(taken(), 2)
  await clock.advance(60_000)
  assert.is(taken(), 3)
})

test('names are forgotten oldest first, and one that is used is not old', () => {
  const map = new Map<string, number>()
  for (const name of ['a', 'b', 'a', 'c']) keepNewest(map, name, 1, 2)
  assert.equal([...map.keys()], ['a', 'c'])
})

test('an address block is a /24, a /48 or, for a mapped address, that of the address in it', () => {
  const blocks = [
    ['192.0.2.77', '192.0.2'],
    ['::ffff:192.0.2.78', '192.0.2'],
    ['2001:db8:1:2::3', '2001:db8:1'],
    ['2001:db8::1', '2001:db8:0'],
    ['::1', '0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0'],
  ] as const
  for (const [address, block] of blocks) assert.is(addressBlock(address), block)
  assert.is(addressBlock(undefined), 'none')
})

test('penalties add up to a stay that ends, and the next stay is twice as long', async () => {
  const clock = manualClock(0)
  const limits = { ...MESH_LIMITS, graylistPoints: 50, graylistMs: 1_000, graylistMsMax: 3_000 }
  const graylist = new Graylist(limits, clock)
  for (const stayMs of [1_000, 2_000, 3_000, 3_000]) {
    assert.not.ok(graylist.penalise(a, 'signature_invalid'))
    assert.ok(graylist.penalise(a, 'signature_invalid'), 'the second one shuts it out')
    assert.not.ok(graylist.penalise(a, 'equivocation'), 'it is out already')
    await clock.advance(stayMs - 1)
    assert.ok(graylist.has(a) && !graylist.has(b))
    await clock.advance(1)
    assert.not.ok(graylist.has(a))
    await clock.advance(limits.penaltyHalfLifeMs * 20)
  }
})

test('points are forgotten by half in a half-life', async () => {
  const clock = manualClock(0)
  const graylist = new Graylist({ ...MESH_LIMITS, graylistPoints: 40 }, clock)
  for (let count = 0; count < 10; count += 1) {
    assert.not.ok(graylist.penalise(a, 'malformed'), 'twenty points a minute never make forty')
    await clock.advance(MESH_LIMITS.penaltyHalfLifeMs)
  }
})

test('every reason has a penalty, and an equivocation is enough', () => {
  for (const reason of PENALTY_REASONS) assert.ok(MESH_LIMITS.penalties[reason] > 0)
  assert.ok(MESH_LIMITS.penalties.equivocation >= MESH_LIMITS.graylistPoints)
})

test('a peer fills its own share; a stranger a sixteenth of one, and strangers half of all', () => {
  const room = new Room({
    ...MESH_LIMITS,
    peerBytesMax: 1_600,
    totalBytesMax: 2_000,
    handlersPerPeerMax: 32,
    handlersMax: 40,
  })
  const purse = room.purse(a)
  assert.ok(purse.hold(1_600) && !purse.hold(1))
  assert.ok(room.purse(b, true).hold(100) === false, 'members hold more than the half that strangers may fill up to')
  const other = room.purse(b)
  assert.ok(other.hold(400) && !other.hold(1), 'the total is a bound too')
  purse.release(600)
  assert.is(room.held.bytes, 1_400)
  purse.close()
  purse.release(5)
  assert.not.ok(purse.hold(1), 'a closed purse takes nothing')
  other.close()
  assert.equal(room.held, { handlers: 0, bytes: 0 })
  assert.ok(room.enter(b, true) && room.enter(b, true) && !room.enter(b, true))
  for (let count = 0; count < 32; count += 1) assert.ok(room.enter(a, false))
  assert.not.ok(room.enter(a, false))
  for (let count = 0; count < 32; count += 1) room.leave(a)
  assert.is(room.held.handlers, 2)
})

test('the gate asks in order: shut out, stranger, rate; and floods shut out in the end', () => {
  const shut: string[] = []
  const limits = { ...MESH_LIMITS, callsBurst: 5, callsPerSecond: 0.001, graylistPoints: 3, strangerCallsBurst: 2 }
  const ports = {
    clock: manualClock(0),
    directory: { addressesOf: () => [], standingOf: (peer: string) => (peer === b ? 'stranger' : 'member') } as const,
    onReject: () => {},
    onShut: (peer: string) => shut.push(peer),
  }
  const gate = new Gate({ openTypes: ['swarm/join'], limits }, ports)
  const ask = (peer: typeof a, kind: 'call' | 'relay', type = 'x'): string | undefined =>
    gate.faultOf({ peer, block: '192.0.2' }, kind === 'call' ? { kind, type } : { kind })
  assert.equal([ask(b, 'call'), ask(b, 'relay'), ask(b, 'call', 'swarm/join')], ['stranger', 'stranger', undefined])
  assert.equal(
    Array.from({ length: 9 }, () => ask(a, 'call')),
    [undefined, undefined, undefined, undefined, undefined, 'rate', 'rate', 'rate', 'graylisted'],
  )
  assert.equal(shut, [a])
})

test.run()
