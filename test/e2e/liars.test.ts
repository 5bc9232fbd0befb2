/** Real daemons of one swarm with the bundled model, three of them liars: no lie is believed, no honest worker fails, and lying does not pay. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { playAmongLiars } from '../support/liar-jobs.ts'
import { testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 480_000
const NODES = 10
const JOBS = 12
/** Validators give no output while enough others can: of six workers three lie. Too few are left for referees. */
const LIARS = { 7: 'sibling', 8: 'edit', 9: 'garbage' } as const

test(
  'of answers of three replicas none is a liar’s, no honest output fails, and liars earn less than the honest',
  within(LIMIT_MS, async () => {
    const plan = { nodes: NODES, liars: LIARS, edges: [0, 4], jobs: JOBS, playMs: LIMIT_MS, seed: testSeed() }
    const { wrong, workers, outcomes, disputes, books, jobs } = await playAmongLiars(plan)
    console.log(JSON.stringify({ outcomes, workers, disputes, entries: books.entries }))
    assert.is(jobs, JOBS)
    assert.equal(wrong, [])
    assert.ok(workers.some(({ kind, failed }) => kind !== 'honest' && failed > 0))
  }),
)

test.run()
