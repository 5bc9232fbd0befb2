import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Digest, PeerId } from '../../../../core/ids.ts'
import type { Applied } from '../../../../core/log/apply.ts'
import { statementOf } from '../../../../core/log/authority.ts'
import { certifiedVotes } from '../../../../core/log/certified-votes.ts'
import { standingOf } from '../../../../core/log/standing.ts'
import { encodeEvidence, evidenceOf } from '../../../../core/quorum/evidence.ts'
import { type CheckedVote, castVote } from '../../../../core/quorum/vote.ts'
import { EvidenceDesk } from '../../../../node/jobs/evidence.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { codeOf } from '../../../support/error-code.ts'
import { applied, LogSwarm } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, jobNamed, keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const LIAR = keyNamed('v1')

/** Desks of some peers over one log. */
function desks(...names: readonly string[]) {
  const swarm = new LogSwarm()
  const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
  const blamed: string[] = []
  const bugs: unknown[] = []
  const open = names.map((name) => {
    const transport = network.endpoint(keyNamed(name).peer)
    const ledger = { append: async (...entry: Parameters<LogSwarm['apply']>) => swarm.apply(...entry) }
    const misbehaved = (peer: PeerId, reason: string) => void blamed.push(`${peer} ${reason}`)
    const fatal = (error: unknown) => void bugs.push(error)
    const ports = {
      transport,
      ledger,
      state: () => swarm.state,
      misbehaved,
      fatal,
      signal: new AbortController().signal,
    }
    const desk = new EvidenceDesk(ports)
    if (name.startsWith('v')) desk.serve()
    return { desk, transport }
  })
  return { swarm, open, blamed, bugs }
}

function voteFor({ state }: LogSwarm, digest: Digest, key = LIAR): CheckedVote {
  const parts = { subject: jobNamed('job'), attempt: 0, index: 0, digest }
  return castVote(state.swarmId, statementOf(state, 'assignment', parts), key)
}

async function until(holds: () => boolean, signal: AbortSignal): Promise<void> {
  while (!holds()) await systemClock.sleep(5, signal)
}

const hasEquivocated = ({ state }: LogSwarm, { peer } = LIAR) => standingOf(state, peer)?.equivocated === true

test(
  'two votes that one node counts in different rounds are evidence, logged once',
  within(5_000, async (signal) => {
    const { swarm, open, blamed, bugs } = desks('edge', 'v0', 'v2')
    const [edge = missing()] = open
    const [one, two, three] = ['one', 'two', 'three'].map((name) => voteFor(swarm, digestNamed(name)))
    for (const vote of [one, one, two, three]) edge.desk.see(vote ?? missing())
    await until(() => hasEquivocated(swarm), signal)
    assert.is(swarm.entries.length, 2)
    await systemClock.sleep(50, signal)
    assert.is(swarm.entries.length, 2)
    assert.equal(blamed, [`${LIAR.peer} vote_equivocation`])
    assert.equal(bugs, [])
  }),
)

test(
  'of a validator that says one thing to one edge and another to the other, the validators find the proof',
  within(5_000, async (signal) => {
    const { swarm, open } = desks('edge', 'edge 2', 'v0', 'v2', 'v3')
    const [one = missing(), two = missing()] = open
    one.desk.share([voteFor(swarm, digestNamed('one')), voteFor(swarm, digestNamed('one'), keyNamed('v0'))])
    two.desk.share([voteFor(swarm, digestNamed('two'))])
    await until(() => hasEquivocated(swarm), signal)
    assert.not(hasEquivocated(swarm, keyNamed('v0')))
    assert.is([...swarm.state.evidence.entries()].length, 1)
  }),
)

test(
  'a vote against what the same validator signed in the log is evidence',
  within(5_000, async (signal) => {
    const { swarm, open } = desks('v0')
    const [{ desk } = missing()] = open
    const job = swarm.hold()
    const certified = applied(swarm.apply('assignment', swarm.assignment(job)))
    desk.logged(certified)
    const parts = { subject: job.id, attempt: 0, index: 0, digest: digestNamed('other workers') }
    desk.see(castVote(swarm.state.swarmId, statementOf(swarm.state, 'assignment', parts), LIAR))
    await until(() => hasEquivocated(swarm), signal)
  }),
)

test('the votes of a certified entry are those that were signed, for every kind that has them', () => {
  const swarm = new LogSwarm()
  const votesIn = (entry: Applied) => {
    const votes = certifiedVotes(swarm.state, entry)
    return votes.map(({ voter, statement }) => `${voter} ${statement.kind} ${statement.attempt} ${statement.index}`)
  }
  const of = (kind: string, index = 0) => swarm.validators.slice(0, 3).map(({ peer }) => `${peer} ${kind} 0 ${index}`)
  const held = swarm.hold()
  assert.equal(votesIn(applied(swarm.apply('assignment', swarm.assignment(held)))), of('assignment'))
  assert.equal(votesIn(applied(swarm.apply('result', swarm.result(swarm.job(held.id), 1)))), of('finding', 1))
  assert.equal(votesIn(applied(swarm.apply('roster', swarm.roster(digestNamed('roster'))))), of('roster'))
  assert.equal(votesIn(applied(swarm.apply('beacon', swarm.beacon(digestNamed('beacon'))))), of('beacon'))
  assert.equal(votesIn(applied(swarm.apply('mint', swarm.mint('platform/home', 1n, 'key')))), [])
})

test(
  'evidence that proves nothing is refused and costs whoever brought it',
  within(5_000, async () => {
    const { swarm, open, blamed } = desks('edge', 'v0')
    const [edge = missing()] = open
    const [one, two] = ['one', 'two'].map((name) => voteFor(swarm, digestNamed(name)))
    const evidence = evidenceOf(one ?? missing(), two ?? missing()) ?? missing()
    const forged = encodeEvidence(evidence)
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const to = keyNamed('v0').peer
    const say = (type: string, body: Uint8Array) =>
      codeOf(edge.transport.request(to, type, body, { deadlineMs: 1_000 }))
    assert.is(await say('evidence/seen', forged), 'CF_MESH_REFUSED')
    assert.is(await say('evidence/votes', forged), 'CF_MESH_REFUSED')
    assert.equal(blamed, [`${keyNamed('edge').peer} signature_invalid`])
    assert.is(swarm.entries.length, 1)
    assert.is(await say('evidence/seen', encodeEvidence(evidence)), 'resolved')
    assert.ok(hasEquivocated(swarm))
  }),
)

test.run()
