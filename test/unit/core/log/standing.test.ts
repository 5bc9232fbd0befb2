import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { nodeAccount, type PeerId, platformAccount, userAccount } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import { FORFEIT_MICRO } from '../../../../core/log/apply-epoch.ts'
import { statementOf } from '../../../../core/log/authority.ts'
import { inviteSpendCodec } from '../../../../core/log/bodies.ts'
import { evidenceEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { sealInvite, sealSpend } from '../../../../core/log/invites.ts'
import { memberOf } from '../../../../core/log/members.ts'
import { epochRow, standingRow } from '../../../../core/log/rows.ts'
import {
  freshStanding,
  isAdmitted,
  isBarred,
  JOINED_WEIGHT,
  ownerNamed,
  ownerOf,
  rosterWeightOf,
  type Standing,
  standingOf,
  weightOf,
} from '../../../../core/log/standing.ts'
import { encodeEvidence, evidenceOf } from '../../../../core/quorum/evidence.ts'
import { castVote } from '../../../../core/quorum/vote.ts'
import { ROLE } from '../../../../core/roster/roster.ts'
import { EMPTY_RECORD } from '../../../support/epoch-swarm.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY, START_MS, STARTER } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'

const NEWCOMER = keyNamed('newcomer')

function standing(parts: Partial<Standing> = {}): Standing {
  const { peer } = NEWCOMER
  return { ...freshStanding({ owner: ownerNamed(peer), user: null, joinedEpoch: 0n, base: JOINED_WEIGHT }), ...parts }
}

function invite(swarm: LogSwarm, parts: { grant?: bigint; forPeer?: PeerId; id?: number } = {}, issuer = MINT_KEY) {
  const id = new Uint8Array(16).fill(parts.id ?? 0)
  const terms = { id, expiresMs: START_MS + 9n, forPeer: parts.forPeer ?? null, grant: parts.grant ?? 0n }
  return sealInvite(swarm.state.swarmId, terms, issuer)
}

function spend(swarm: LogSwarm, sealed: Uint8Array, user = BOB, peer = NEWCOMER): Applied | Refused {
  return swarm.apply('invite', sealSpend(swarm.state.swarmId, sealed, user, peer))
}

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

function statsOf(swarm: LogSwarm, peer: PeerId): Standing {
  return standingOf(swarm.state, peer) ?? missing('a standing')
}

function nextEpoch(swarm: LogSwarm, forfeits = 0): Applied {
  const epoch = swarm.state.epoch + 1n
  applied(swarm.apply('roster', swarm.roster(digestNamed(`roster ${epoch}`))))
  return applied(swarm.apply('beacon', swarm.beacon(digestNamed(`beacon ${epoch}`), epoch, forfeits)))
}

test('weights stay between 1 and 64, grow slowly with what passed and fall with the share of faults', () => {
  assert.is(weightOf(standing()), JOINED_WEIGHT)
  const growing = [0, 1, 10, 100, 1_000, 0xffff_ffff].map((passed) => weightOf(standing({ passed })))
  assert.equal(growing, [8, 12, 24, 36, 48, LIMITS.rendezvousWeightMax])
  assert.is(weightOf(standing({ failed: 1 })), 4)
  assert.is(weightOf(standing({ lost: 1 })), 6)
  assert.is(weightOf(standing({ forfeits: 1 })), 4)
  assert.is(weightOf(standing({ failed: 0xffff_ffff, lost: 0xffff_ffff })), 1)
  assert.ok(weightOf(standing({ passed: 1_000, failed: 1 })) > 45)
  assert.is(weightOf(standing({ passed: 1_000, equivocated: true })), 0)
})

test('members and validators of the genesis are in from the start, with the owners that it names', () => {
  const swarm = new LogSwarm()
  const worker = keyNamed('w0').peer
  assert.is(ownerOf(swarm.state, worker), digestNamed('owner of w0'))
  assert.ok(isAdmitted(swarm.state, worker) && isAdmitted(swarm.state, keyNamed('v0').peer))
  assert.not(isAdmitted(swarm.state, NEWCOMER.peer))
  assert.is(ownerOf(swarm.state, NEWCOMER.peer), ownerNamed(NEWCOMER.peer))
  assert.is([...swarm.state.peers.entries()].length, 9)
})

test('a spent invite lets a peer in for its user, and grants what it says once', () => {
  const swarm = new LogSwarm()
  const sealed = invite(swarm, { grant: 5n, forPeer: NEWCOMER.peer })
  const { transfers } = applied(spend(swarm, sealed))
  assert.equal(
    transfers.map(({ kind, debit, credit, amount }) => ({ kind, debit, credit, amount })),
    [{ kind: 'mint', debit: 'mint', credit: userAccount(BOB.peer), amount: 5n }],
  )
  assert.is(ownerOf(swarm.state, NEWCOMER.peer), ownerNamed(BOB.peer))
  assert.is(statsOf(swarm, NEWCOMER.peer).user, BOB.peer)
  assert.is(reasonOf(spend(swarm, sealed)), 'invite_spent')
  assert.is(swarm.balance(userAccount(BOB.peer)), 5n)
})

test('a second invite changes neither the owner of a peer nor what it has done', () => {
  const swarm = new LogSwarm()
  applied(spend(swarm, invite(swarm)))
  applied(spend(swarm, invite(swarm, { id: 1, grant: 1n }), ALICE))
  assert.is(ownerOf(swarm.state, NEWCOMER.peer), ownerNamed(BOB.peer))
  applied(spend(swarm, invite(swarm, { id: 2 }), BOB, keyNamed('w0')))
  assert.is(ownerOf(swarm.state, keyNamed('w0').peer), digestNamed('owner of w0'))
})

test('only a mint key grants, only a validator or mint key invites, and nobody is made an owner without saying so', () => {
  const swarm = new LogSwarm()
  const validator = keyNamed('v0')
  assert.is(reasonOf(spend(swarm, invite(swarm, { grant: 1n }, validator))), 'authority_missing')
  assert.is(reasonOf(spend(swarm, invite(swarm, {}, ALICE))), 'authority_missing')
  assert.is(reasonOf(spend(swarm, invite(swarm, { grant: -1n }))), 'body_malformed')
  assert.is(reasonOf(spend(swarm, invite(swarm, { grant: LIMITS.amountMicroMax + 1n }))), 'amount_out_of_range')
  const { swarmId } = swarm.state
  const honest = sealSpend(swarmId, invite(swarm), BOB, NEWCOMER)
  for (const consent of [new Uint8Array(), honest.subarray(0, 200)]) {
    const forged = { invite: invite(swarm), user: BOB.peer, consent }
    assert.is(reasonOf(swarm.apply('invite', sealAs(inviteSpendCodec, forged, swarmId, NEWCOMER))), 'authority_missing')
  }
  assert.not(isAdmitted(swarm.state, NEWCOMER.peer))
  applied(spend(swarm, invite(swarm, {}, validator)))
  applied(spend(swarm, invite(swarm, { id: 1 }), BOB, BOB))
  assert.is(ownerOf(swarm.state, BOB.peer), ownerNamed(BOB.peer))
})

test('findings count for the worker that they are about, and what never came is lost, not wrong', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged({ replicas: 3 }, [
    {},
    { verdict: 'fail', reason: 'no_reveal' },
    { verdict: 'fail', reason: 'tokens_root' },
  ])
  const [passed, lost, failed] = job.workers.map((worker) => statsOf(swarm, worker))
  assert.equal([passed?.passed, lost?.lost, lost?.failed, failed?.failed, failed?.passed], [1, 1, 0, 1, 0])
  const inconclusive = swarm.judged({ nonce: 2n, replicas: 1 }, [{ verdict: 'inconclusive' }])
  assert.is(statsOf(swarm, inconclusive.workers[0] ?? missing()).passed, 1)
})

test('a weight in the next roster is the one that held when the epoch began, whatever has been found since', () => {
  const swarm = new LogSwarm()
  const worker = keyNamed('w0').peer
  swarm.judged({ replicas: 1 })
  assert.is(weightOf(statsOf(swarm, worker)), 5)
  assert.is(rosterWeightOf(statsOf(swarm, worker), swarm.state.epoch), 1)
  nextEpoch(swarm)
  assert.is(rosterWeightOf(statsOf(swarm, worker), swarm.state.epoch), 5)
  swarm.judged({ replicas: 1, nonce: 2n }, [{ verdict: 'fail', reason: 'tokens_root' }])
  assert.is(rosterWeightOf(statsOf(swarm, worker), swarm.state.epoch), 5)
})

test('who was outvoted too often when the epoch began is barred from audits in the next roster, and works on', () => {
  const swarm = new LogSwarm()
  const peer = keyNamed('w0').peer
  const rolesOf = () => memberOf(swarm.state, peer, { ...EMPTY_RECORD, roles: ROLE.worker })?.roles
  for (const nonce of [1n, 2n, 3n]) swarm.judged({ replicas: 1, nonce }, [{ outvoted: [peer] }])
  assert.ok(isBarred(statsOf(swarm, peer)))
  assert.is(rolesOf(), ROLE.worker, 'validators a few entries apart must agree')
  nextEpoch(swarm)
  assert.is(rolesOf(), ROLE.worker | ROLE.barred)
})

test('evidence takes a validator out of every later roster at once', () => {
  const swarm = new LogSwarm()
  const key = keyNamed('v1')
  const votes = ['one', 'two'].map((name) => {
    const parts = { subject: digestNamed('subject'), attempt: 0, index: 0, digest: digestNamed(name) }
    return castVote(swarm.state.swarmId, statementOf(swarm.state, 'finding', parts), key)
  })
  const evidence = evidenceOf(votes[0] ?? missing(), votes[1] ?? missing()) ?? missing('evidence')
  applied(swarm.apply('evidence', evidenceEntryCodec.encode({ evidence: encodeEvidence(evidence) })))
  assert.is(rosterWeightOf(statsOf(swarm, key.peer), swarm.state.epoch), 0)
  assert.ok(isAdmitted(swarm.state, key.peer))
})

test('who keeps its part of a beacon pays a fixed amount, at most what it has, and its standing falls', () => {
  const swarm = new LogSwarm()
  const [poor, rich] = [keyNamed('v1').peer, keyNamed('v2').peer]
  applied(swarm.apply('mint', swarm.mint(nodeAccount(poor), 7n, 'poor')))
  applied(swarm.apply('mint', swarm.mint(nodeAccount(rich), FORFEIT_MICRO + 7n, 'rich')))
  const { transfers } = nextEpoch(swarm, 0b0111)
  assert.equal(
    transfers.map(({ kind, debit, credit, amount }) => [kind, debit, credit, amount]),
    [
      ['forfeit', nodeAccount(poor), platformAccount('home'), 7n],
      ['forfeit', nodeAccount(rich), platformAccount('home'), FORFEIT_MICRO],
    ],
  )
  assert.equal(
    ['v0', 'v1', 'v2', 'v3'].map((name) => statsOf(swarm, keyNamed(name).peer).forfeits),
    [1, 1, 1, 0],
  )
  assert.is(swarm.balance(nodeAccount(rich)), 7n)
  assert.is(swarm.balance(userAccount(ALICE.peer)), STARTER)
})

test('standings and epochs survive their rows', () => {
  const swarm = new LogSwarm()
  applied(spend(swarm, invite(swarm)))
  nextEpoch(swarm, 1)
  for (const [, value] of swarm.state.peers.entries())
    assert.equal(standingRow.decode(standingRow.encode(value)), value)
  for (const [, value] of swarm.state.epochs.entries()) assert.equal(epochRow.decode(epochRow.encode(value)), value)
  assert.equal(
    [...swarm.state.epochs.entries()].map(([key]) => key),
    ['0', '1'],
  )
})

test.run()
