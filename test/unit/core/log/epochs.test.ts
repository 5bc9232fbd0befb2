import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../../core/ids.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import { changedSet } from '../../../../core/log/apply-epoch.ts'
import { AUTHORITY } from '../../../../core/log/authority.ts'
import { rosterEntryCodec, snapshotEntryCodec, validatorSetEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { ENTRY_KINDS } from '../../../../core/log/entry.ts'
import { drawSource, epochOfJob, rosterDigest } from '../../../../core/log/epochs.ts'
import { isAdmitted } from '../../../../core/log/standing.ts'
import { validatorSet } from '../../../../core/quorum/validators.ts'
import { ALICE, applied, LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed, validatorKeys } from '../../../support/people.ts'

const ROOT = digestNamed('roster 1')
const BEACON = digestNamed('beacon 1')

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

test('every entry kind names its authority', () => {
  assert.equal(Object.keys(AUTHORITY).sort(), [...ENTRY_KINDS].sort())
})

test('a roster takes effect with the beacon of its epoch and not before', () => {
  const swarm = new LogSwarm()
  const { rosterRoot, beacon: first } = swarm.state
  applied(swarm.apply('roster', swarm.roster(ROOT, 1n)))
  assert.equal([swarm.state.epoch, swarm.state.rosterRoot, swarm.state.beacon], [0n, rosterRoot, first])
  applied(swarm.apply('beacon', swarm.beacon(BEACON, 1n)))
  assert.equal([swarm.state.epoch, swarm.state.rosterRoot, swarm.state.beacon], [1n, ROOT, BEACON])
  assert.is(swarm.state.nextRoster, null)
})

test('a roster once certified is not replaced, and an epoch is neither skipped nor repeated', () => {
  const swarm = new LogSwarm()
  applied(swarm.apply('roster', swarm.roster(ROOT, 1n)))
  assert.is(reasonOf(swarm.apply('roster', swarm.roster(ROOT, 1n))), 'epoch_mismatch')
  assert.is(reasonOf(swarm.apply('beacon', swarm.beacon(BEACON, 2n))), 'epoch_mismatch')
  applied(swarm.apply('beacon', swarm.beacon(BEACON, 1n)))
  assert.is(reasonOf(swarm.apply('beacon', swarm.beacon(BEACON, 1n))), 'epoch_mismatch')
})

test('a roster, a beacon and a snapshot need their own certificate', () => {
  const swarm = new LogSwarm()
  const commits = digestNamed('commits')
  const fields = { epoch: 1n, root: ROOT, commits, attempt: 0 }
  const digest = rosterDigest(swarm.state.swarmId, 1n, ROOT, commits)
  const asBeacon = rosterEntryCodec.encode({ ...fields, ...swarm.numbered('beacon', 1n, digest) })
  assert.is(reasonOf(swarm.apply('roster', asBeacon)), 'certificate_invalid')
  const ofAnother = rosterEntryCodec.encode({ ...fields, ...swarm.numbered('roster', 1n, BEACON) })
  assert.is(reasonOf(swarm.apply('roster', ofAnother)), 'certificate_invalid')
  const otherCommits = rosterEntryCodec.encode({ ...fields, commits: BEACON, ...swarm.numbered('roster', 1n, digest) })
  assert.is(reasonOf(swarm.apply('roster', otherCommits)), 'certificate_invalid')
  const later = rosterEntryCodec.encode({ ...fields, attempt: 1, ...swarm.numbered('roster', 1n, digest) })
  assert.is(reasonOf(swarm.apply('roster', later)), 'certificate_invalid')
})

test('a job stays with the epoch that it was held in, and one held later is drawn in the next', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  const certified = swarm.assignment(job)
  applied(swarm.apply('roster', swarm.roster(ROOT, 1n)))
  applied(swarm.apply('beacon', swarm.beacon(BEACON, 1n)))
  applied(swarm.apply('assignment', certified))
  const [early, late] = [swarm.job(job.id), swarm.hold({ nonce: 2n })]
  const { beacon, rosterRoot } = epochOfJob(swarm.state, early)
  assert.equal([early.epoch, beacon], [0n, swarm.genesis.beacon])
  assert.is(drawSource(swarm.state, early).beacon, swarm.genesis.beacon)
  assert.is.not(rosterRoot, ROOT)
  assert.equal([late.epoch, epochOfJob(swarm.state, late).rosterRoot], [1n, ROOT])
  assert.is(drawSource(swarm.state, late).beacon, BEACON)
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

test('a new validator set certifies the next roster again: what waited for its beacon is dropped', () => {
  const swarm = new LogSwarm()
  const added = keyNamed('v4')
  applied(swarm.apply('roster', swarm.roster(ROOT, 1n)))
  const change = { epoch: 1n, removed: 0, added: [added.peer], attempt: 0 }
  const digest = changedSet(swarm.state.validators, 1n, 0, [added.peer])?.hash ?? ROOT
  const body = validatorSetEntryCodec.encode({ ...change, ...swarm.numbered('validator-set', 1n, digest) })
  applied(swarm.apply('validator-set', body))
  assert.is(swarm.state.nextRoster, null)
  assert.ok(isAdmitted(swarm.state, added.peer))
  swarm.validators = [...swarm.validators, added]
  assert.is(reasonOf(swarm.apply('beacon', swarm.beacon(BEACON, 1n))), 'roster_missing')
  applied(swarm.apply('roster', swarm.roster(ROOT, 1n)))
  applied(swarm.apply('beacon', swarm.beacon(BEACON, 1n)))
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
