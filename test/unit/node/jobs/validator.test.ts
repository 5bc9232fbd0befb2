import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../../../core/codec/bytes.ts'
import type { PeerId } from '../../../../core/ids.ts'
import { assignmentOf } from '../../../../core/job/machine.ts'
import {
  type AssignmentProposal,
  assignmentProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
  votesCodec,
} from '../../../../core/job/proposal.ts'
import { answersDigest, assignmentCodec } from '../../../../core/log/assignment.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { checkVote, decodeVote, type Vote } from '../../../../core/quorum/vote.ts'
import { staticRosters } from '../../../../node/jobs/job-roster.ts'
import { ValidatorRole } from '../../../../node/jobs/validator.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport, Store } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { failureOf } from '../../../support/error-code.ts'
import { revealed, runTo, verified } from '../../../support/every-phase.ts'
import { EDGE, expectAccepted, type JobRun, OTHER_EDGE, secretOf } from '../../../support/job-run.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from '../../../support/memory-store.ts'
import { keyNamed } from '../../../support/people.ts'
import { sealedBy } from '../../../support/sealed.ts'
import { within } from '../../../support/within.ts'

const SELF = keyNamed('v0').peer

/** A store whose commits wait for `release`, to see what leaves before they are done. */
function slowStore(inner: Store) {
  const waiting: (() => void)[] = []
  const commits: string[][] = []
  const store: Store = {
    ...inner,
    async commit(writes) {
      commits.push(writes.map(({ table }) => table))
      await new Promise<void>((resolve) => waiting.push(resolve))
      return inner.commit(writes)
    },
  }
  const release = (): void => {
    for (const go of waiting.splice(0)) go()
  }
  return { store, commits, release }
}

const WITH_WORDS = new Set(['vote/findings', 'vote/settlement'])

class Bench {
  readonly edge: PeerTransport
  /** Of an edge that does not drive the job. */
  readonly other: PeerTransport
  readonly run: JobRun
  readonly bugs: unknown[] = []

  constructor(run: JobRun, store: Store, self: PeerId = SELF) {
    const network = createMemoryNetwork(
      {},
      { clock: systemClock, random: systemRandom, onBug: (error) => this.bugs.push(error) },
    )
    this.run = run
    this.edge = network.endpoint(EDGE.peer)
    this.other = network.endpoint(OTHER_EDGE.peer)
    const { state } = run.swarm
    new ValidatorRole({
      ...{ key: secretOf(self), transport: network.endpoint(self), store, clock: manualClock(run.nowMs) },
      ...{ state: () => state, rosters: staticRosters(genesisRoster(state.genesis)), facts: run.bench().facts },
    })
  }

  async ask(type: string, body: Uint8Array, from = this.edge): Promise<readonly Vote[]> {
    const key = from === this.edge ? EDGE : OTHER_EDGE
    const about = { swarmId: this.run.swarm.state.swarmId, kind: type, jobId: this.run.id, to: SELF }
    const message = WITH_WORDS.has(type) ? sealedBy(key, about, body).message : body
    const answer = await from.request(SELF, type, message, { deadlineMs: 1_500 })
    return expectAccepted(votesCodec.decode(answer)).votes.map((bytes) => {
      const { swarmId, validators } = this.run.swarm.state
      return expectAccepted(checkVote(swarmId, validators, expectAccepted(decodeVote(bytes))))
    })
  }

  assignment(proposal: AssignmentProposal = this.run.assignmentProposal): Promise<readonly Vote[]> {
    return this.ask('vote/assignment', assignmentProposalCodec.encode(proposal))
  }

  /** `resolved`, or code and reason. */
  async said(asking: Promise<unknown>): Promise<string> {
    const { code, detail } = await failureOf(asking)
    return `${code} ${String(detail['reason'] ?? '')}`.trim()
  }
}

const proposed = (): JobRun => runTo((run) => run.answerAll())

/** As honest as the first, with a deadline one millisecond sooner: other bytes to sign. */
function otherProposal(run: JobRun): AssignmentProposal {
  const assignment = assignmentOf(run.assignment)
  return {
    ...run.assignmentProposal,
    assignment: assignmentCodec.encode({ ...assignment, commitByMs: assignment.commitByMs - 1n }),
  }
}

function benchOn(disk: MemoryDisk, run = proposed()): Bench {
  return new Bench(run, createMemoryStore(disk))
}

test(
  'a validator votes for an honest proposal, and repeats the very vote when it is asked again',
  within(3_000, async () => {
    const bench = benchOn(createMemoryDisk())
    const [first] = await bench.assignment()
    assert.is(first?.voter, SELF)
    assert.is(first?.statement.kind, 'assignment')
    const [again] = await bench.assignment()
    assert.equal(again, first)
    assert.equal(bench.bugs, [])
  }),
)

test(
  'asked again with another digest it refuses, and still repeats its first vote',
  within(3_000, async () => {
    const bench = benchOn(createMemoryDisk())
    const first = await bench.assignment()
    assert.is(await bench.said(bench.assignment(otherProposal(bench.run))), 'CF_MESH_REFUSED')
    assert.equal(await bench.assignment(), first)
  }),
)

test(
  'the other proposal would have been voted for, had it come first',
  within(3_000, async () => {
    const bench = benchOn(createMemoryDisk())
    assert.is((await bench.assignment(otherProposal(bench.run))).length, 1)
    assert.is(await bench.said(bench.assignment()), 'CF_MESH_REFUSED')
  }),
)

test(
  'a restart does not un-say a vote',
  within(3_000, async () => {
    const disk = createMemoryDisk()
    const before = benchOn(disk)
    const first = await before.assignment()
    const after = benchOn(disk, before.run)
    assert.is(await after.said(after.assignment(otherProposal(before.run))), 'CF_MESH_REFUSED')
    assert.equal(await after.assignment(), first)
  }),
)

test(
  'a vote leaves only after it is on disk, and not at all when the disk refuses it',
  within(3_000, async () => {
    const slow = slowStore(createMemoryStore())
    const bench = new Bench(proposed(), slow.store)
    let left = false
    const voting = bench.assignment().then((votes) => {
      left = true
      return votes
    })
    await systemClock.sleep(30)
    assert.is(left, false)
    assert.equal(slow.commits, [['vote']])
    slow.release()
    assert.is((await voting).length, 1)

    const closed = createMemoryStore()
    await closed.close()
    const broken = new Bench(proposed(), closed)
    assert.is.not(await broken.said(broken.assignment()), 'resolved')
  }),
)

test(
  'of two different proposals at once, while the disk is slow, one is voted for and one refused',
  within(3_000, async () => {
    const slow = slowStore(createMemoryStore())
    const bench = new Bench(proposed(), slow.store)
    const asked = [bench.assignment(), bench.assignment(otherProposal(bench.run)), bench.assignment()].map((asking) =>
      asking.then(
        ([vote]) => vote?.statement.digest,
        () => 'refused',
      ),
    )
    await systemClock.sleep(30)
    slow.release()
    const [one, other, same] = await Promise.all(asked)
    assert.is(other, 'refused')
    assert.is(one, same)
    assert.is.not(one, 'refused')
  }),
)

test(
  'hundreds of proposals at once, of two kinds: every vote that leaves is the same',
  within(4_000, async () => {
    const disk = createMemoryDisk()
    const bench = benchOn(disk)
    const other = otherProposal(bench.run)
    const said = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        bench.assignment(index % 2 === 0 ? bench.run.assignmentProposal : other).then(
          ([vote]) => toHex(vote?.signature ?? new Uint8Array()),
          () => 'refused',
        ),
      ),
    )
    const votes = new Set(said.filter((text) => text !== 'refused'))
    assert.is(votes.size, 1)
    assert.is(said.filter((text) => text === 'refused').length, 100)
    assert.is([...disk.rows.keys()].filter((key) => key.startsWith('vote/')).length, 1)
  }),
)

test(
  'a dishonest or malformed proposal gets no vote, and leaves none on disk',
  within(3_000, async () => {
    const disk = createMemoryDisk()
    const bench = benchOn(disk)
    const assignment = assignmentOf(bench.run.assignment)
    const workers = assignment.workers.toReversed()
    const none = answersDigest(bench.run.swarm.state.swarmId, [])
    const lies: readonly AssignmentProposal[] = [
      { ...bench.run.assignmentProposal, assignment: assignmentCodec.encode({ ...assignment, workers }) },
      { answers: [], assignment: assignmentCodec.encode({ ...assignment, answersDigest: none }) },
      { answers: [], assignment: new Uint8Array() },
    ]
    for (const lie of lies) assert.is(await bench.said(bench.assignment(lie)), 'CF_MESH_REFUSED')
    for (const type of ['vote/assignment', 'vote/findings', 'vote/settlement']) {
      for (const body of [new Uint8Array(), Uint8Array.of(0xc1), new Uint8Array(500)]) {
        assert.is(await bench.said(bench.ask(type, body)), 'CF_MESH_REFUSED')
      }
    }
    assert.is([...disk.rows.keys()].length, 0)
    assert.equal(bench.bugs, [])
  }),
)

test(
  'a member that is not the job’s edge gets no vote, whatever it proposes, and keeps nobody from getting one',
  within(8_000, async () => {
    const [disk, revealing, verifying] = [createMemoryDisk(), runTo(revealed), runTo(verified)]
    const bench = benchOn(disk)
    const proposals: readonly (readonly [Bench, string, Uint8Array])[] = [
      [bench, 'vote/assignment', assignmentProposalCodec.encode(bench.run.assignmentProposal)],
      [bench, 'vote/assignment', assignmentProposalCodec.encode(otherProposal(bench.run))],
      [benchOn(disk, revealing), 'vote/findings', findingProposalCodec.encode(revealing.findingProposal)],
      [benchOn(disk, verifying), 'vote/settlement', settlementProposalCodec.encode(verifying.settlementProposal)],
    ]
    for (const [asked, type, body] of proposals)
      assert.is(await asked.said(asked.ask(type, body, asked.other)), 'CF_MESH_REFUSED', type)
    assert.is(disk.rows.size, 0, 'a vote that is not given binds nobody')
    for (const [asked, type, body] of proposals.filter((_, place) => place !== 1))
      assert.ok((await asked.ask(type, body)).length > 0, `${type} of the edge`)
  }),
)

test(
  'findings of all replicas are voted on at once, one vote each, and stay what they were',
  within(3_000, async () => {
    const run = runTo(revealed)
    const bench = benchOn(createMemoryDisk(), run)
    const ask = (change: Partial<JobRun['findingProposal']> = {}) =>
      bench.ask('vote/findings', findingProposalCodec.encode({ ...run.findingProposal, ...change }))
    const votes = await ask()
    assert.equal(
      votes.map(({ statement }) => [statement.kind, statement.index]),
      [0, 1, 2].map((replica) => ['finding', replica]),
    )
    assert.equal(await ask(), votes)
    const reveals = run.findingProposal.reveals.with(0, new Uint8Array())
    assert.is(await bench.said(ask({ reveals })), 'CF_MESH_REFUSED', 'another verdict about the first replica')
    assert.equal(await ask(), votes)
  }),
)

test(
  'one settlement of a job is voted for: not also another choice, nor a refund',
  within(3_000, async () => {
    const run = runTo(verified)
    const bench = benchOn(createMemoryDisk(), run)
    const ask = (change: Partial<JobRun['settlementProposal']> = {}) =>
      bench.ask('vote/settlement', settlementProposalCodec.encode({ ...run.settlementProposal, ...change }))
    const [vote] = await ask()
    assert.is(vote?.statement.kind, 'settlement')
    assert.is(await bench.said(ask({ chosen: 1 })), 'CF_MESH_REFUSED')
    assert.is(await bench.said(ask({ chosen: 255, outcome: 'refunded', reason: 'output_rejected' })), 'CF_MESH_REFUSED')
    assert.is(await bench.said(ask({ chosen: 255, outcome: 'refunded', reason: 'x'.repeat(128) })), 'CF_MESH_REFUSED')
    assert.equal(await ask(), [vote])
    assert.equal(bench.bugs, [], 'a long reason is refused, and no bug')
  }),
)

test.run()
