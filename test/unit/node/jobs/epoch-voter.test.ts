/** Leaders that lie, and what the others answer over the wire. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import type { PeerId } from '../../../../core/ids.ts'
import { votesCodec } from '../../../../core/job/proposal.ts'
import {
  beaconProposalCodec,
  commitOf,
  commitRequestCodec,
  commitsDigest,
  nonceOf,
  type RosterProposal,
  revealCodec,
  rosterProposalCodec,
  sealCommit,
} from '../../../../core/log/beacon.ts'
import { leaderOf } from '../../../../core/log/judge-epoch.ts'
import { membersSeen } from '../../../../core/log/members.ts'
import { decodeVote, subjectKey } from '../../../../core/quorum/vote.ts'
import { encodeRoster, type Member, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { type EpochNode, EpochSwarm } from '../../../support/epoch-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { within } from '../../../support/within.ts'

const SLOT_MS = 4_000

/** A swarm at the beginning of a turn of the validator at place 1, which runs no program of ours. */
async function withLiar() {
  const swarm = new EpochSwarm({ validators: 4 })
  const liar = swarm.start(1, { drive: false })
  const honest = [0, 2, 3].map((place) => swarm.start(place))
  // Attempt 4 of epoch 1: the turns before were those of 1, 2, 3 and 0; the honest ones find no quorum for what they see.
  for (const node of honest) node.sights.clear()
  await swarm.clock.advance(4 * SLOT_MS + 100)
  assert.is(leaderOf(swarm.log, 4), liar.key.peer)
  return { swarm, liar, honest }
}

function proposalOf(swarm: EpochSwarm, liar: EpochNode, parts: Partial<RosterProposal> = {}): RosterProposal {
  const members = membersSeen(swarm.log, liar.sights.values())
  return {
    ...withMembers(swarm, members),
    ...parts,
    records: [...liar.sights.values()].map(({ envelope }) => envelope),
  }
}

function withMembers(swarm: EpochSwarm, members: readonly Member[]): RosterProposal {
  const { swarmId, validators, head } = swarm.log
  const commits = swarm.keys.map((key) => sealCommit(key, swarmId, 1n, validators))
  const roster = encodeRoster(rosterSnapshot(1n, members))
  return { attempt: 4, headIndex: head.index, roster, commits, records: [] }
}

/** What everybody says, and the digests that they voted for. */
async function ask(
  swarm: EpochSwarm,
  from: EpochNode,
  type: string,
  body: Uint8Array,
  waitMs = 100,
): Promise<readonly string[]> {
  const asked = swarm.keys
    .filter(({ peer }) => peer !== from.key.peer)
    .map(({ peer }) => from.transport.request(peer, type, body, { deadlineMs: 3_000 }).then(votedFor, codeOf))
  const all = Promise.all(asked)
  await swarm.clock.advance(waitMs)
  return all
}

function votedFor(answer: Uint8Array): string {
  const decoded = votesCodec.decode(answer)
  const [bytes] = decoded.action === 'accept' ? decoded.value.votes : []
  const vote = bytes === undefined ? missing('a vote') : decodeVote(bytes)
  return vote.action === 'accept' ? vote.value.statement.digest : missing('a vote that decodes')
}

/** Only the code crosses the wire; the reasons are in test/unit/core/log/judge-epoch. */
function codeOf(error: unknown): string {
  return error instanceof FabricError ? error.code : missing('a coded error')
}

const REFUSED = ['CF_MESH_REFUSED', 'CF_MESH_REFUSED', 'CF_MESH_REFUSED']

test(
  'a leader that lies about a weight, an owner or a member gets no vote, and then an honest roster gets all',
  within(10_000, async () => {
    const { swarm, liar } = await withLiar()
    const truth = membersSeen(swarm.log, liar.sights.values())
    const [first = missing('a member')] = truth
    for (const lie of [{ weight: 64 }, { block: 7 }, { roles: 7 }]) {
      const members = truth.with(0, { ...first, ...lie })
      const body = rosterProposalCodec.encode({ ...proposalOf(swarm, liar), ...pick(withMembers(swarm, members)) })
      assert.equal(await ask(swarm, liar, 'vote/roster', body), REFUSED)
      await untilTurn(swarm, liar)
    }
    const attempt = turnOf(swarm)
    const said = await ask(swarm, liar, 'vote/roster', rosterProposalCodec.encode(proposalOf(swarm, liar, { attempt })))
    assert.is(new Set(said).size, 1)
    assert.match(said[0] ?? '', /^[0-9a-f]{64}$/)
    await swarm.stopAll()
  }),
)

function pick({ roster }: RosterProposal): Pick<RosterProposal, 'roster'> {
  return { roster }
}

function turnOf(swarm: EpochSwarm): number {
  return Math.floor((swarm.clock.nowMs() - Number(swarm.genesis.createdMs)) / SLOT_MS)
}

async function untilTurn(swarm: EpochSwarm, node: EpochNode): Promise<void> {
  await swarm.until(() => leaderOf(swarm.log, turnOf(swarm)) === node.key.peer, 5 * SLOT_MS)
}

test(
  'a leader that proposes two rosters in one turn gets votes for the first only, also from a validator that restarted',
  within(10_000, async () => {
    const { swarm, liar } = await withLiar()
    const first = rosterProposalCodec.encode(proposalOf(swarm, liar))
    const [digest = ''] = await ask(swarm, liar, 'vote/roster', first)
    const { swarmId, validators } = swarm.log
    const fewer = swarm.keys.map((key, place) =>
      place === 0 ? new Uint8Array() : sealCommit(key, swarmId, 1n, validators),
    )
    const second = rosterProposalCodec.encode(proposalOf(swarm, liar, { commits: fewer }))
    assert.equal(await ask(swarm, liar, 'vote/roster', second), REFUSED)
    const { disk } = await swarm.kill(2)
    swarm.start(2, { disk }).sights.clear()
    assert.equal(await ask(swarm, liar, 'vote/roster', second), REFUSED)
    assert.equal(await ask(swarm, liar, 'vote/roster', first), [digest, digest, digest])
    assert.equal(swarm.bugs, [])
    await swarm.stopAll()
  }),
)

test(
  'a vote for a roster is on disk with the roster and its commitments before it is sent',
  within(10_000, async () => {
    const { swarm, liar, honest } = await withLiar()
    const proposal = proposalOf(swarm, liar)
    await ask(swarm, liar, 'vote/roster', rosterProposalCodec.encode(proposal))
    const { root } = rosterSnapshot(1n, membersSeen(swarm.log, liar.sights.values()))
    for (const { disk } of honest) {
      assert.ok(disk.rosters.has(root))
      const kinds = [...disk.rows.keys()].map((key) => key.slice(0, key.indexOf('/')))
      assert.ok(kinds.includes('vote') && kinds.includes('work'))
    }
    await swarm.stopAll()
  }),
)

test(
  'turns far in the future, other epochs and strangers get no votes, no commitments and no hearing',
  within(10_000, async () => {
    const { swarm, liar } = await withLiar()
    const far = rosterProposalCodec.encode(proposalOf(swarm, liar, { attempt: 4 + 40 }))
    assert.equal(await ask(swarm, liar, 'vote/roster', far), REFUSED)
    const ahead = rosterProposalCodec.encode(proposalOf(swarm, liar, { headIndex: 99n }))
    assert.equal(await ask(swarm, liar, 'vote/roster', ahead, 1_100), REFUSED)
    assert.equal(await ask(swarm, liar, 'vote/roster', new Uint8Array(9)), REFUSED)
    assert.equal(await ask(swarm, liar, 'beacon/commit', commitRequestCodec.encode({ epoch: 9n })), REFUSED)
    const reveal = (epoch: bigint) => revealCodec.encode({ epoch, nonce: new Uint8Array(32) })
    assert.equal(await ask(swarm, liar, 'beacon/reveal', reveal(2n)), REFUSED)
    const outsider: PeerId =
      [...liar.sights.keys()].find((peer) => !swarm.log.validators.keys.includes(peer)) ?? missing()
    const transport = swarm.network.endpoint(outsider)
    const answer = transport.request(swarm.node(0).key.peer, 'beacon/reveal', reveal(1n), { deadlineMs: 500 })
    assert.is(await answer.catch(codeOf), 'CF_MESH_REFUSED')
    await swarm.stopAll()
  }),
)

test(
  'a leader cannot leave out the part of a validator that has told the others',
  within(10_000, async () => {
    const swarm = new EpochSwarm({ validators: 4 })
    swarm.startAll()
    await swarm.until(() => swarm.log.nextRoster !== null, 10_000)
    // The leader of some turn is replaced by a liar before the beacon is there.
    const liarPlace = 3
    await swarm.kill(liarPlace)
    const liar = swarm.start(liarPlace, { drive: false })
    const { swarmId, validators: set } = swarm.log
    const reveals = swarm.keys.map((one) => nonceOf(one, swarmId, 1n, set))
    const commits = swarm.keys.map((one, place) => commitOf(swarmId, 1n, set, one.peer, reveals[place] ?? missing()))
    assert.is(commitsDigest(commits), swarm.log.nextRoster?.commits)
    // Its turn is the third after the roster; by its word the first validator kept its part to itself.
    const body = { epoch: 1n, attempt: 2, headIndex: swarm.log.head.index, commits, forfeits: 1 }
    const without = reveals.with(0, new Uint8Array())
    const said = await ask(swarm, liar, 'vote/beacon', beaconProposalCodec.encode({ ...body, reveals: without }))
    assert.equal(said, REFUSED)
    await swarm.until(() => swarm.log.epoch === 1n, 30_000)
    for (const one of swarm.keys.slice(0, 3)) assert.is(swarm.log.peers.get(one.peer)?.forfeits, 0)
    await swarm.stopAll()
  }),
)

test('votes of a roster and of a beacon are about different subjects in every attempt', () => {
  const swarm = new EpochSwarm({ validators: 1 })
  const { validators } = swarm.log
  const topic = { epoch: 0n, setHash: validators.hash, subject: validators.hash, index: 0 } as const
  const keys = (['roster', 'beacon'] as const).flatMap((kind) =>
    [0, 1].map((attempt) => subjectKey({ ...topic, kind, attempt })),
  )
  assert.is(new Set(keys).size, 4)
})

test.run()
