import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROLE, rosterSnapshot } from '../../../../core/roster/roster.ts'
import {
  auditBeacon,
  auditedClasses,
  auditorsFor,
  auditsHash,
  classesOf,
  commitSetDigest,
  isDrawn,
  isPanel,
} from '../../../../core/verification/auditing.ts'
import { digestNamed, jobNamed, memberNamed } from '../../../support/people.ts'

const BEACONS = Array.from({ length: 2_000 }, (_, place) => digestNamed(`beacon ${place}`))
const certificate = (byte: number) => ({ bitmap: 7, signatures: new Uint8Array(192).fill(byte) })

test('the beacon changes with the job, the attempt, the commitments, the signers and their signatures', () => {
  const set = commitSetDigest([digestNamed('a'), digestNamed('b')])
  const beacon = auditBeacon(jobNamed('job'), 0, set, certificate(1))
  const others = [
    auditBeacon(jobNamed('other'), 0, set, certificate(1)),
    auditBeacon(jobNamed('job'), 1, set, certificate(1)),
    auditBeacon(jobNamed('job'), 0, commitSetDigest([digestNamed('b'), digestNamed('a')]), certificate(1)),
    auditBeacon(jobNamed('job'), 0, set, certificate(2)),
    auditBeacon(jobNamed('job'), 0, set, { ...certificate(1), bitmap: 11 }),
  ]
  assert.is(new Set([beacon, ...others]).size, 6)
})

test('lots fall as often as the rate says: 1,000 always, 0 never, a tenth in between', () => {
  const drawn = (permille: number): number => BEACONS.filter((beacon) => isDrawn(beacon, 1, permille)).length
  assert.is(drawn(1_000), BEACONS.length)
  assert.is(drawn(0), 0)
  // 2,000 fixed beacons: 200 expected, standard deviation 13.
  assert.ok(Math.abs(drawn(100) - 200) < 54, `${drawn(100)} of 2000`)
  const panels = BEACONS.filter((beacon) => isPanel(beacon, 1)).length
  assert.ok(Math.abs(panels - 200) < 54, `${panels} of 2000`)
})

test('equal outputs are one class, and one lot on a member is enough', () => {
  const outputs = ['x', 'y', 'x', undefined]
  assert.equal(classesOf(outputs), [[0, 2], [1]])
  const [beacon = digestNamed('none')] = BEACONS
  assert.equal(auditedClasses(beacon, ['x', 'x', 'y'], [0, 1_000, 0]), [[0, 1]])
  assert.equal(auditedClasses(beacon, ['x', 'x', 'y'], [0, 0, 0]), [])
})

test('where no output has a majority all are audited, whatever the lots', () => {
  const [beacon = digestNamed('none')] = BEACONS
  assert.equal(auditedClasses(beacon, ['x', 'y', 'z'], [1, 1, 1]), [[0], [1], [2]])
  assert.equal(auditedClasses(beacon, ['x', undefined, undefined], [1, 1, 1]), [[0]])
  assert.equal(auditedClasses(beacon, ['x'], [1]), [])
})

test('a swarm that audits nothing forces nothing', () => {
  const [beacon = digestNamed('none')] = BEACONS
  assert.equal(auditedClasses(beacon, ['x', 'y', 'z'], [0, 0, 0]), [])
})

test('auditors are no part of the job, of other owners, and one of an owner', () => {
  const owner = digestNamed('owner of two')
  const members = [
    ...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].map((name) => memberNamed(name)),
    memberNamed('worker'),
    memberNamed('edge'),
    memberNamed('of the worker', { owner: memberNamed('worker').owner }),
    memberNamed('twin 1', { owner }),
    memberNamed('twin 2', { owner }),
    memberNamed('only an edge', { roles: 4 }),
    memberNamed('outvoted too often', { roles: ROLE.worker | ROLE.barred }),
  ]
  const roster = rosterSnapshot(1n, members)
  const involved = [memberNamed('worker').peer, memberNamed('edge').peer]
  const never = [...involved, memberNamed('of the worker').peer, memberNamed('only an edge').peer]
  never.push(memberNamed('outvoted too often').peer)
  const seen = new Set<string>()
  for (const beacon of BEACONS.slice(0, 200)) {
    const auditors = auditorsFor(roster, beacon, 0, involved)
    assert.is(auditors.length, 6)
    assert.not.ok(never.some((peer) => auditors.includes(peer)))
    assert.not.ok(['twin 1', 'twin 2'].every((name) => auditors.includes(memberNamed(name).peer)))
    for (const peer of auditors) seen.add(peer)
  }
  assert.is(seen.size, 11, 'everybody who may audit is drawn now and then')
})

test('the hash of reports depends on each and on their order', () => {
  const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)]
  assert.is(new Set([auditsHash([]), auditsHash([a]), auditsHash([a, b]), auditsHash([b, a])]).size, 4)
})

test.run()
