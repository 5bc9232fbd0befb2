/** Why a job went as it did: timeline, draw and quorum over HTTP and on the command line, of real jobs in a whole daemon. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { type CliRun, runCommand } from '../support/cli.ts'
import { type FakeDaemon, settledJob, submit, withFakeDaemon } from '../support/fake-daemon.ts'
import { getJson } from '../support/spawned-node.ts'
import { within } from '../support/within.ts'

const P2P = '/api/v1/p2p'
const UNKNOWN = '0'.repeat(64)

function cli({ home, url }: FakeDaemon, ...argv: readonly string[]): Promise<CliRun> {
  return runCommand(argv, { cwd: home, env: { CFAB_HOME: home, CFAB_PORT: new URL(url).port } })
}

test(
  'a timeline has every phase of the log in order, a quorum behind each certificate, and transfers that add up',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const id = await submit(url, { replicas: 3 })
      const { job } = await settledJob(url, id)
      const timeline = await getJson(`${url}${P2P}/jobs/${id}/timeline`)
      const phases = listAt(timeline, 'phases')
      assert.equal(
        phases.map((row) => textAt(row, 'phase')),
        ['admitted', 'assigned', 'verified', 'settled'],
      )
      const times = phases.map((row) => textAt(row, 'time'))
      assert.equal(times, times.toSorted())
      const votes = listAt(timeline, 'votes')
      assert.equal(
        votes.map((row) => textAt(row, 'kind')),
        ['assignment', 'result', 'result', 'result', 'settlement'],
      )
      for (const vote of votes) assert.is(new Set(listAt(vote, 'voters')).size, 3, 'Q of four')
      const transfers = listAt(timeline, 'transfers')
      assert.is(textAt(transfers[0], 'kind'), 'hold')
      const paid = transfers
        .slice(1)
        .reduce<number>((sum, row) => sum + Math.round(Number(textAt(row, 'amount')) * 1e6), 0)
      assert.is(paid, Math.round(Number(textAt(job, 'hold')) * 1e6))
    }),
  ),
)

test(
  'of several jobs each timeline has its own certificates only, and a restart forgets none',
  within(20_000, async () => {
    let home = ''
    const before = new Map<string, unknown>()
    await withFakeDaemon({}, async (daemon) => {
      home = daemon.home
      const ids = await Promise.all([1, 2, 3].map((replicas) => submit(daemon.url, { replicas })))
      for (const id of ids) {
        await settledJob(daemon.url, id)
        before.set(id, await getJson(`${daemon.url}${P2P}/jobs/${id}/timeline`))
      }
    })
    await withFakeDaemon({ home }, async ({ url }) => {
      for (const [id, timeline] of before) {
        assert.equal(await getJson(`${url}${P2P}/jobs/${id}/timeline`), timeline)
        const jobs = listAt(timeline, 'votes').map((vote) => textAt(vote, 'job_id'))
        assert.equal([...new Set(jobs)], [id])
      }
    })
  }),
)

test(
  'the draw of a settled job, computed again, gives the workers of its assignment',
  within(10_000, () =>
    withFakeDaemon({}, async (daemon) => {
      const id = await submit(daemon.url, { replicas: 2 })
      const { job } = await settledJob(daemon.url, id)
      const draw = await getJson(`${daemon.url}${P2P}/jobs/${id}/explain`)
      assert.is(member(draw, 'matches'), true)
      const ranked = listAt(draw, 'ranked')
      assert.is(ranked.length, 5, 'every worker of the roster has a rank')
      const scores = ranked.map((row) => textAt(row, 'score'))
      assert.equal(scores, scores.toSorted().reverse())
      const chosen = ranked.filter((row) => member(row, 'chosen') !== null)
      assert.equal(
        new Set(chosen.map((row) => textAt(row, 'peer'))),
        new Set(listAt(job, 'replicas').map((row) => textAt(row, 'worker'))),
      )
      const run = await cli(daemon, 'job', 'explain', id)
      assert.is(run.status, 0, run.err)
      for (const word of [
        'gives the same workers',
        'works on replica 1',
        'result of replica 1',
        'settlement',
        'refund',
      ])
        assert.match(run.out, word)
      assert.equal(JSON.parse((await cli(daemon, 'job', 'explain', id, '--json')).out).draw, draw)
    }),
  ),
)

test(
  'the quorum view names the set, says that roles overlap, and lists the newest certificates first within the limit',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      for (const _ of [1, 2]) await settledJob(url, await submit(url))
      const view = await getJson(`${url}${P2P}/quorum?limit=4`)
      assert.equal([member(view, 'quorum'), member(view, 'faulty'), member(view, 'overlapping')], [3, 0, true])
      assert.is(listAt(view, 'validators').length, 4)
      const entries = listAt(view, 'recent').map((row) => Number(textAt(row, 'entry')))
      assert.is(entries.length, 4)
      assert.equal(
        entries,
        entries.toSorted((a, b) => b - a),
      )
      assert.is(textAt(listAt(view, 'recent')[0], 'kind'), 'settlement')
    }),
  ),
)

test(
  'an unknown job and an id that is none are refused by name',
  within(10_000, () =>
    withFakeDaemon({}, async (daemon) => {
      for (const [path, status, code] of [
        [`jobs/${UNKNOWN}/timeline`, 404, 'CF_JOB_UNKNOWN'],
        [`jobs/${UNKNOWN}/explain`, 404, 'CF_JOB_UNKNOWN'],
        ['jobs/xyz/explain', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['quorum?limit=0', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['quorum?limits=3', 400, 'CF_CONTROL_BAD_REQUEST'],
      ] as const) {
        const answer = await fetch(`${daemon.url}${P2P}/${path}`)
        assert.equal([path, answer.status, textAt(await answer.json(), 'error', 'code')], [path, status, code])
      }
      assert.is((await cli(daemon, 'job', 'explain', UNKNOWN)).status, 66)
    }),
  ),
)

test(
  'peers lists every member with what it does, ps the loaded model and the open jobs',
  within(10_000, () =>
    withFakeDaemon({}, async (daemon) => {
      const peers = await cli(daemon, 'peers')
      assert.is(peers.status, 0, peers.err)
      assert.is(peers.out.trimEnd().split('\n').length, 6, 'a head and five members')
      assert.match(peers.out, '(this node)')
      assert.match(peers.out, 'worker,validator')
      const ps = await cli(daemon, 'ps')
      assert.match(ps.out, 'cfab-tiny')
      assert.match(ps.out, 'No job is open.')
      assert.equal(Object.keys(JSON.parse((await cli(daemon, 'ps', '--json')).out)), ['models', 'jobs'])
    }),
  ),
)

test.run()
