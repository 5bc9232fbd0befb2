/** What a Byzantine leader may propose and no honest validator signs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import type { Digest, PeerId } from '../../../../core/ids.ts'
import {
  type BeaconProposal,
  beaconOf,
  beaconProposalCodec,
  commitsDigest,
  forfeitsOf,
  nonceOf,
  openCommit,
  type RosterProposal,
  sealCommit,
} from '../../../../core/log/beacon.ts'
import { rosterEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { checkEpochProof } from '../../../../core/log/epoch-proof.ts'
import { beaconDigest, epochStart, rosterDigest } from '../../../../core/log/epochs.ts'
import { DEFAULT_POLICY } from '../../../../core/log/genesis.ts'
import {
  type BeaconBench,
  beaconTerms,
  type EpochBench,
  judgeBeacon,
  judgeRoster,
  leaderOf,
} from '../../../../core/log/judge-epoch.ts'
import { isEpochDue, membersSeen, type Sight } from '../../../../core/log/members.ts'
import { markEquivocated } from '../../../../core/log/standing.ts'
import { type PeerRecord, peerRecordCodec } from '../../../../core/roster/record.ts'
import { encodeRoster, type Member, ROLE, rosterSnapshot } from '../../../../core/roster/roster.ts'
import type { Validation } from '../../../../core/validation.ts'
import { applied, LogSwarm, START_MS } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed, validatorKeys } from '../../../support/people.ts'

const RECORD: PeerRecord = {
  ...{ addresses: ['8.9.10.11:7734'], region: 'home', roles: ROLE.worker, models: [], load: 0, slots: 1 },
  hardware: { device: 'cpu', memoryMiB: 1_024, threads: 2 },
  ...{ factorPermille: 1_000, version: '1.0.0', incarnation: 1n, sequence: 1n },
}
const NOW_MS = Number(START_MS) + 60_000
const EPOCH = 1n
const KEYS = validatorKeys(4)
const NONE = new Uint8Array()

function opened(): LogSwarm {
  return new LogSwarm({ policy: { ...DEFAULT_POLICY, epochMs: 30_000 } })
}

function sighted(name: string, parts: Partial<PeerRecord> = {}, sight: Partial<Sight> = {}): Sight {
  return {
    peer: keyNamed(name).peer,
    state: 'alive',
    record: { ...RECORD, ...parts },
    envelope: NONE,
    sinceMs: 0,
    ...sight,
  }
}

function benchOf(swarm: LogSwarm, ...sights: readonly Sight[]): EpochBench {
  return { state: swarm.state, sights: new Map(sights.map((sight) => [sight.peer, sight])), nowMs: NOW_MS }
}

function proposed(swarm: LogSwarm, members: readonly Member[], parts: Partial<RosterProposal> = {}): RosterProposal {
  const { swarmId, validators, head } = swarm.state
  const commits = KEYS.map((key) => sealCommit(key, swarmId, EPOCH, validators))
  const roster = encodeRoster(rosterSnapshot(EPOCH, members))
  return { attempt: 0, headIndex: head.index, roster, records: [], commits, ...parts }
}

function leader(swarm: LogSwarm): PeerId {
  return leaderOf(swarm.state, 0) ?? missing('a leader')
}

function saidOf(validation: Validation<unknown>): string {
  if (validation.action === 'accept') return 'accept'
  return validation.action === 'ignore' ? validation.reason : `${validation.reason} ${validation.where ?? ''}`
}

/** The bench, and the members that follow from it. */
function usual(swarm: LogSwarm) {
  const bench = benchOf(swarm, sighted('w0'), sighted('w1'), sighted('v0', { roles: ROLE.edge }))
  return { bench, members: membersSeen(swarm.state, bench.sights.values()) }
}

test('a roster that follows from the log and the records gets a vote on members and commitments', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const judged = judgeRoster(bench, proposed(swarm, members), leader(swarm))
  assert.is(saidOf(judged), 'accept')
  if (judged.action !== 'accept') return
  const { root } = rosterSnapshot(EPOCH, members)
  const commits = commitsDigest(judged.value.commits)
  assert.is(judged.value.statement.digest, rosterDigest(swarm.state.swarmId, EPOCH, root, commits))
  assert.equal(
    members.map(({ peer, roles }) => [peer, roles]).sort(),
    [
      [keyNamed('w0').peer, ROLE.worker],
      [keyNamed('w1').peer, ROLE.worker],
      [keyNamed('v0').peer, ROLE.edge | ROLE.validator],
    ].sort(),
  )
})

const LIES: readonly (readonly [string, Partial<Member>])[] = [
  ['weight', { weight: 64 }],
  ['owner', { owner: digestNamed('somebody') }],
  ['roles', { roles: ROLE.edge }],
  ['address block', { block: 1 }],
]
for (const [what, lie] of LIES) {
  test(`a member with another ${what} than it has gets no vote`, () => {
    const swarm = opened()
    const { bench, members } = usual(swarm)
    for (const [place, member] of members.entries()) {
      const wrong = members.with(place, { ...member, ...lie, roles: lie.roles ?? member.roles })
      const changed = JSON.stringify(wrong) !== JSON.stringify(members)
      const said = saidOf(judgeRoster(bench, proposed(swarm, wrong), leader(swarm)))
      assert.is(said, changed ? 'proposal_mismatch member' : 'accept')
    }
  })
}

test('a stranger, an equivocator and a peer that is long gone get into no roster; one just gone may', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const { sights } = bench
  const stranger = { peer: keyNamed('stranger').peer, weight: 8, roles: ROLE.worker, owner: digestNamed('o'), block: 1 }
  const withStranger = benchOf(swarm, ...sights.values(), sighted('stranger'))
  assert.is(
    saidOf(judgeRoster(withStranger, proposed(swarm, [...members, stranger]), leader(swarm))),
    'proposal_mismatch member',
  )
  const gone = (sinceMs: number) => benchOf(swarm, ...sights.values(), sighted('w1', {}, { state: 'dead', sinceMs }))
  assert.is(saidOf(judgeRoster(gone(0), proposed(swarm, members), leader(swarm))), 'proposal_mismatch member')
  assert.is(saidOf(judgeRoster(gone(NOW_MS - 1_000), proposed(swarm, members), leader(swarm))), 'accept')
  markEquivocated(swarm.state, keyNamed('w1').peer)
  assert.is(saidOf(judgeRoster(bench, proposed(swarm, members), leader(swarm))), 'proposal_mismatch member')
})

test('whoever has been there for long may not be left out; whoever just came may', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const without = members.slice(1)
  assert.is(saidOf(judgeRoster(bench, proposed(swarm, without), leader(swarm))), 'proposal_mismatch members')
  assert.is(saidOf(judgeRoster(bench, proposed(swarm, []), leader(swarm))), 'proposal_mismatch members')
  const fresh = sighted('w2', {}, { sinceMs: NOW_MS - 1_000 })
  const { sights } = bench
  assert.is(
    saidOf(judgeRoster(benchOf(swarm, ...sights.values(), fresh), proposed(swarm, members), leader(swarm))),
    'accept',
  )
})

test('records that come along are believed by their signature and their age only', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const { swarmId } = swarm.state
  const sealed = (parts: Partial<PeerRecord>, key = keyNamed('w2')) =>
    sealAs(peerRecordCodec, { ...RECORD, ...parts }, swarmId, key)
  const unknown = membersSeen(swarm.state, [...bench.sights.values(), sighted('w2')])
  const say = (list: readonly Member[], records: readonly Uint8Array[]) =>
    saidOf(judgeRoster(bench, proposed(swarm, list, { records }), leader(swarm)))
  assert.is(say(unknown, []), 'proposal_mismatch member')
  assert.is(say(unknown, [sealed({})]), 'accept')
  const forged = sealed({})
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
  assert.is(say(unknown, [forged]), 'signature_invalid records')
  const old = sealed({ sequence: 0n, addresses: ['1.1.1.1:1'] }, keyNamed('w1'))
  const elsewhere = benchOf(swarm, ...bench.sights.values(), sighted('w1', { addresses: ['1.1.1.1:1'] }))
  const moved = membersSeen(swarm.state, elsewhere.sights.values())
  assert.is(say(moved, [old]), 'proposal_mismatch member')
  const newest = sealed({ sequence: 2n, addresses: ['1.1.1.1:1'] }, keyNamed('w1'))
  assert.is(say(members, [newest]), 'proposal_mismatch member')
})

test('commitments come from a quorum, each from its own validator for this epoch', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const { swarmId, validators } = swarm.state
  const honest = KEYS.map((key) => sealCommit(key, swarmId, EPOCH, validators))
  const say = (commits: readonly Uint8Array[]) =>
    saidOf(judgeRoster(bench, proposed(swarm, members, { commits }), leader(swarm)))
  assert.is(say([...honest.slice(0, 3), NONE]), 'accept')
  const forAnother = honest.with(3, honest[0] ?? NONE)
  const ofLater = honest.with(3, sealCommit(KEYS[3] ?? missing(), swarmId, 2n, validators))
  for (const commits of [honest.slice(0, 3), honest.toSpliced(0, 2, NONE, NONE), forAnother, ofLater, []])
    assert.is(say(commits), 'proposal_mismatch commits')
})

test('a roster before its time, out of turn or for another epoch gets no vote', () => {
  const swarm = opened()
  const { bench, members } = usual(swarm)
  const proposal = proposed(swarm, members)
  assert.is(saidOf(judgeRoster(bench, proposal, keyNamed('w0').peer)), 'proposal_mismatch leader')
  assert.is(saidOf(judgeRoster(bench, { ...proposal, attempt: 1 }, leader(swarm))), 'proposal_mismatch leader')
  assert.is(saidOf(judgeRoster({ ...bench, nowMs: Number(START_MS) + 1_000 }, proposal, leader(swarm))), 'stale')
  const later = { ...proposal, roster: encodeRoster(rosterSnapshot(2n, members)) }
  assert.is(saidOf(judgeRoster(bench, later, leader(swarm))), 'stale')
  applied(swarm.apply('roster', swarm.roster(digestNamed('roster'))))
  assert.is(saidOf(judgeRoster(bench, proposal, leader(swarm))), 'stale')
  const local = new LogSwarm()
  assert.is(saidOf(judgeRoster(usual(local).bench, proposed(local, members), leader(local))), 'not_for_us')
})

test('every validator is leader in its turn', () => {
  const swarm = opened()
  const leaders = [0, 1, 2, 3, 4].map((attempt) => leaderOf(swarm.state, attempt))
  assert.equal(
    leaders,
    [1, 2, 3, 0, 1].map((place) => KEYS[place]?.peer),
  )
})

/** A swarm whose next roster is logged, with the commitments and reveals behind it. */
function revealing() {
  const swarm = opened()
  const { swarmId, validators: set } = swarm.state
  const commits = KEYS.map((key) => {
    const envelope = sealCommit(key, swarmId, EPOCH, set)
    return openCommit(envelope, swarmId, EPOCH, set, key.peer) ?? missing('a commitment')
  })
  const reveals = KEYS.map((key) => nonceOf(key, swarmId, EPOCH, set))
  applied(swarm.apply('roster', swarm.roster(digestNamed('members'), EPOCH, commitsDigest(commits))))
  const bench: BeaconBench = { state: swarm.state, revealed: new Map(), overdue: true }
  const proposal = (parts: Partial<BeaconProposal> = {}): BeaconProposal => {
    const given = { commits, reveals, ...parts }
    const base = { epoch: EPOCH, attempt: 0, headIndex: swarm.state.head.index }
    return { ...base, forfeits: forfeitsOf(given.commits, given.reveals), ...given }
  }
  return { swarm, bench, commits, reveals, proposal, from: leader(swarm) }
}

test('a beacon is the one that follows from the reveals, the members and the beacon before', () => {
  const { swarm, bench, reveals, proposal, from } = revealing()
  const judged = judgeBeacon(bench, proposal(), from)
  assert.is(saidOf(judged), 'accept')
  const terms = beaconTerms(swarm.state) ?? missing('terms')
  const beacon = beaconOf(terms, reveals)
  const digest = beaconDigest(swarm.state.swarmId, EPOCH, beacon, 0)
  assert.is(judged.action === 'accept' && judged.value.digest, digest)
  const others: Digest[] = [
    beaconOf({ ...terms, rosterRoot: digestNamed('others') }, reveals),
    beaconOf({ ...terms, previous: digestNamed('others') }, reveals),
    beaconOf({ ...terms, epoch: 2n }, reveals),
    beaconOf(terms, reveals.with(0, NONE)),
  ]
  assert.is(new Set([...others, beacon]).size, 5)
  assert.equal(beaconProposalCodec.decode(beaconProposalCodec.encode(proposal())).action, 'accept')
})

test('a beacon with other commitments, other reveals or too few of them gets no vote', () => {
  const { bench, commits, reveals, proposal, from } = revealing()
  const say = (parts: Partial<BeaconProposal>) => saidOf(judgeBeacon(bench, proposal(parts), from))
  assert.is(say({ commits: commits.with(0, new Uint8Array(32)) }), 'proposal_mismatch commits')
  assert.is(say({ commits: commits.slice(0, 3) }), 'proposal_mismatch commits')
  assert.is(say({ reveals: reveals.with(0, new Uint8Array(32)) }), 'proposal_mismatch reveals')
  assert.is(
    say({ reveals: reveals.toSpliced(0, 2, reveals[1] ?? NONE, reveals[0] ?? NONE) }),
    'proposal_mismatch reveals',
  )
  assert.is(say({ reveals: reveals.slice(0, 3) }), 'proposal_mismatch reveals')
  assert.is(say({ reveals: [reveals[0] ?? NONE, NONE, NONE, NONE] }), 'proposal_mismatch reveals')
  assert.is(say({ reveals: [reveals[0] ?? NONE, reveals[1] ?? NONE, NONE, NONE] }), 'accept')
})

test('nobody forfeits before the time is over, and nobody whose reveal is here', () => {
  const { bench, reveals, proposal, from } = revealing()
  const silent = proposal({ reveals: reveals.with(2, NONE) })
  assert.is(silent.forfeits, 0b0100)
  assert.is(saidOf(judgeBeacon(bench, silent, from)), 'accept')
  assert.is(saidOf(judgeBeacon({ ...bench, overdue: false }, silent, from)), 'stale')
  const key = KEYS[2] ?? missing()
  const heard = { ...bench, revealed: new Map([[key.peer, reveals[2] ?? NONE]]) }
  assert.is(saidOf(judgeBeacon(heard, silent, from)), 'proposal_mismatch forfeits')
  const nonsense = { ...bench, revealed: new Map([[key.peer, new Uint8Array(32)]]) }
  assert.is(saidOf(judgeBeacon(nonsense, silent, from)), 'accept')
  for (const forfeits of [0, 0b1100, 0b10100])
    assert.is(saidOf(judgeBeacon(bench, { ...silent, forfeits }, from)), 'proposal_mismatch forfeits')
})

test('a beacon out of turn, for another epoch or without a roster gets no vote', () => {
  const { bench, proposal, from, swarm } = revealing()
  assert.is(saidOf(judgeBeacon(bench, proposal({ attempt: 2 }), from)), 'proposal_mismatch leader')
  assert.is(saidOf(judgeBeacon(bench, proposal({ epoch: 2n }), from)), 'stale')
  assert.is(saidOf(judgeBeacon({ ...bench, state: opened().state }, proposal(), from)), 'stale')
  const all = swarm.state.validators.keys.map((_, attempt) => leaderOf(swarm.state, attempt))
  assert.is(new Set(all).size, 4)
})

test('an epoch is due when members came or went, or when a used beacon is old; never too soon', () => {
  const swarm = opened()
  const { members } = usual(swarm)
  const at = (ms: number) => Number(START_MS) + ms
  const current = rosterSnapshot(0n, members)
  assert.not(isEpochDue(swarm.state, current, members, at(29_999)))
  assert.not(isEpochDue(swarm.state, current, members, at(90_000)), 'nothing was drawn')
  assert.ok(isEpochDue(swarm.state, current, members.slice(1), at(5_000)))
  assert.not(isEpochDue(swarm.state, current, members.slice(1), at(4_999)))
  assert.not(isEpochDue(swarm.state, current, [], at(90_000)))
  const heavier = members.map((member) => ({ ...member, weight: 9 }))
  assert.not(isEpochDue(swarm.state, current, heavier, at(5_000)))
  swarm.hold()
  assert.ok(isEpochDue(swarm.state, current, members, at(30_000)))
  assert.not(isEpochDue(swarm.state, current, members, at(29_999)))
  applied(swarm.apply('roster', swarm.roster(digestNamed('roster'))))
  assert.not(isEpochDue(swarm.state, current, members.slice(1), at(90_000)))
  const local = new LogSwarm()
  local.hold()
  assert.not(isEpochDue(local.state, current, members.slice(1), at(90_000)))
})

test('the proof of an epoch holds by itself, and a bit of it changed does not', () => {
  const swarm = opened()
  applied(swarm.apply('roster', swarm.roster(digestNamed('roster'))))
  applied(swarm.apply('beacon', swarm.beacon(digestNamed('beacon'))))
  const { proof, ...start } = epochStart(swarm.state, 1n) ?? missing('an epoch')
  const other = opened().state
  const checked = checkEpochProof(other, 1n, proof)
  assert.equal(checked.action === 'accept' && checked.value, {
    ...{ epoch: 1n, beacon: start.beacon, rosterRoot: start.rosterRoot },
  })
  const first = checkEpochProof(other, 0n, { roster: NONE, beacon: NONE })
  assert.is(first.action === 'accept' && first.value.beacon, swarm.genesis.beacon)
  for (const [name, bytes] of Object.entries(proof)) {
    for (let place = 0; place < bytes.length; place++) {
      const changed = { ...proof, [name]: bytes.map((byte, at) => (at === place ? byte ^ 1 : byte)) }
      assert.is(checkEpochProof(other, 1n, changed).action, 'reject', `${name} ${place}`)
    }
  }
  assert.is(checkEpochProof(other, 2n, proof).action, 'reject')
  assert.is(checkEpochProof(other, 0n, proof).action, 'reject')
  assert.is(rosterEntryCodec.decode(proof.roster).action, 'accept')
})

test.run()
