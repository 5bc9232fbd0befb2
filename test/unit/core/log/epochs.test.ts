import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../../core/ids.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import { changedSet } from '../../../../core/log/apply-epoch.ts'
import { AUTHORITY } from '../../../../core/log/authority.ts'
import {
  beaconEntryCodec,
  rosterEntryCodec,
  snapshotEntryCodec,
  validatorSetEntryCodec,
} from '../../../../core/log/bodies-certified.ts'
import { ENTRY_KINDS } from '../../../../core/log/entry.ts'
import { validatorSet } from '../../../../core/quorum/validators.ts'
import { ALICE, applied, LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed, validatorKeys } from '../../../support/people.ts'

const ROOT = digestNamed('roster 1')
const BEACON = digestNamed('beacon 1')

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

function roster(swarm: LogSwarm, epoch = 1n): Uint8Array {
  return rosterEntryCodec.encode({ epoch, root: ROOT, attempt: 0, ...swarm.numbered('roster', epoch, ROOT) })
}

function beacon(swarm: LogSwarm, epoch = 1n): Uint8Array {
  return beaconEntryCodec.encode({ epoch, beacon: BEACON, attempt: 0, ...swarm.numbered('beacon', epoch, BEACON) })
}

test('every entry kind names its authority', () => {
  assert.equal(Object.keys(AUTHORITY).sort(), [...ENTRY_KINDS].sort())
})

test('a roster takes effect with the beacon of its epoch and not before', () => {
  const swarm = new LogSwarm()
  const { rosterRoot, beacon: first } = swarm.state
  applied(swarm.apply('roster', roster(swarm)))
  assert.equal([swarm.state.epoch, swarm.state.rosterRoot, swarm.state.beacon], [0n, rosterRoot, first])
  applied(swarm.apply('beacon', beacon(swarm)))
  assert.equal([swarm.state.epoch, swarm.state.rosterRoot, swarm.state.beacon], [1n, ROOT, BEACON])
  assert.is(swarm.state.nextRosterRoot, null)
})

test('a roster once certified is not replaced, and an epoch is neither skipped nor repeated', () => {
  const swarm = new LogSwarm()
  applied(swarm.apply('roster', roster(swarm)))
  assert.is(reasonOf(swarm.apply('roster', roster(swarm))), 'epoch_mismatch')
  assert.is(reasonOf(swarm.apply('beacon', beacon(swarm, 2n))), 'epoch_mismatch')
  applied(swarm.apply('beacon', beacon(swarm)))
  assert.is(reasonOf(swarm.apply('beacon', beacon(swarm))), 'epoch_mismatch')
})

test('a roster, a beacon and a snapshot need their own certificate', () => {
  const swarm = new LogSwarm()
  const asBeacon = rosterEntryCodec.encode({ epoch: 1n, root: ROOT, attempt: 0, ...swarm.numbered('beacon', 1n, ROOT) })
  assert.is(reasonOf(swarm.apply('roster', asBeacon)), 'certificate_invalid')
  const ofAnother = rosterEntryCodec.encode({
    epoch: 1n,
    root: ROOT,
    attempt: 0,
    ...swarm.numbered('roster', 1n, BEACON),
  })
  assert.is(reasonOf(swarm.apply('roster', ofAnother)), 'certificate_invalid')
  const later = rosterEntryCodec.encode({ epoch: 1n, root: ROOT, attempt: 1, ...swarm.numbered('roster', 1n, ROOT) })
  assert.is(reasonOf(swarm.apply('roster', later)), 'certificate_invalid')
})

test('an assignment certified under one epoch does not count in the next', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  const old = swarm.assignment(job)
  applied(swarm.apply('roster', roster(swarm)))
  applied(swarm.apply('beacon', beacon(swarm)))
  assert.is(reasonOf(swarm.apply('assignment', old)), 'certificate_invalid')
  applied(swarm.apply('assignment', swarm.assignment(job)))
})

test('a validator set hands over: the old one certifies no more, the new one does', () => {
  const swarm = new LogSwarm()
  const [, ...rest] = validatorKeys(4)
  const [added, more] = [keyNamed('v4'), keyNamed('v5')]
  const next = changedSet(swarm.state.validators, 1n, 0b0001, [added.peer, more.peer])
  assert.equal(
    next?.keys,
    [...rest, added, more].map(({ peer }) => peer),
  )
  const digest = next?.hash ?? ROOT
  const change = { epoch: 1n, removed: 0b0001, added: [added.peer, more.peer], attempt: 0 }
  const job = swarm.hold()
  const old = swarm.assignment(job)
  applied(
    swarm.apply(
      'validator-set',
      validatorSetEntryCodec.encode({ ...change, ...swarm.numbered('validator-set', 1n, digest) }),
    ),
  )
  assert.is(swarm.state.validators.quorum, 4)
  assert.is(reasonOf(swarm.apply('assignment', old)), 'certificate_invalid')
  swarm.validators = [...rest, added, more]
  applied(swarm.apply('assignment', swarm.assignment(job)))
})

test('a set that repeats a key, is empty, too large or holds an inadmissible key is unsound', () => {
  const keys = validatorKeys(4).map(({ peer }) => peer)
  const set = validatorSet(0n, keys)
  const identity = new Uint8Array(32)
  identity[0] = 1
  assert.is(changedSet(set, 1n, 0, []), undefined)
  assert.is(changedSet(set, 1n, 0, keys.slice(0, 1)), undefined)
  assert.is(changedSet(set, 1n, 0b1111, []), undefined)
  assert.is(changedSet(set, 1n, 0b10000, []), undefined)
  assert.is(changedSet(set, 1n, 0, [peerIdOf(identity)]), undefined)
  const twelve = validatorSet(
    0n,
    validatorKeys(12).map(({ peer }) => peer),
  )
  assert.is(changedSet(twelve, 1n, 0, [ALICE.peer, keyNamed('bob').peer]), undefined)
  assert.is(changedSet(twelve, 1n, 0, [ALICE.peer])?.keys.length, 13)
})

test('snapshots vouch for entries behind the head and go on only', () => {
  const swarm = new LogSwarm()
  swarm.hold()
  const digest = digestNamed('state at 1')
  const at = (index: bigint) =>
    snapshotEntryCodec.encode({ index, digest, attempt: 0, ...swarm.numbered('snapshot', index, digest) })
  applied(swarm.apply('snapshot', at(1n)))
  assert.equal(swarm.state.snapshot, { index: 1n, digest })
  assert.is(reasonOf(swarm.apply('snapshot', at(1n))), 'snapshot_mismatch')
  assert.is(reasonOf(swarm.apply('snapshot', at(0n))), 'snapshot_mismatch')
  assert.is(reasonOf(swarm.apply('snapshot', at(9n))), 'snapshot_mismatch')
})

test.run()
