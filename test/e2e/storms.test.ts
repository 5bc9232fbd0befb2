/** Clients that hang up and compute hosts that die: every stream has an end, every job its settlement, and the books sum to zero. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { medianOf } from '../soak/line.ts'
import { checkCalm, hangUps, killHosts, type Tally } from '../soak/storms.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { runNode, withNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const SLOTS = 8

test(
  '64 clients that hang up at random moments leave no slot busy, no job open and nothing held',
  within(180_000, () =>
    withNode(
      tempFolder(),
      async (node) => {
        const tally: Tally = new Map()
        const faults = await hangUps(node, { clients: 64, rounds: 1, random: seededRandom(testSeed()) }, tally)
        const calm = await checkCalm(node, SLOTS)
        console.log(JSON.stringify({ ...Object.fromEntries(tally), ...calm.books }))
        assert.equal([...faults, ...calm.faults], [])
        assert.ok((tally.get('left') ?? 0) > 16)
        const audit = await runNode(['credits', 'audit', '--port', new URL(node.address).port])
        assert.is(audit.status, 0, audit.out + audit.err)
      },
      ...['--threads', '1', '--slots', String(SLOTS)],
    ),
  ),
)

test(
  'compute hosts that crash under eight streams cost no answer without a code and no credit',
  within(180_000, () =>
    withNode(
      tempFolder(),
      async (node) => {
        const tally: Tally = new Map()
        const storm = { clients: 8, kills: 2, random: seededRandom(testSeed()) }
        const { faults, readyMs } = await killHosts(node, storm, tally)
        const calm = await checkCalm(node, SLOTS)
        console.log(JSON.stringify({ ...Object.fromEntries(tally), ...calm.books, readyMs, median: medianOf(readyMs) }))
        assert.equal([...faults, ...calm.faults], [])
      },
      ...['--threads', '1', '--slots', String(SLOTS)],
    ),
  ),
)

test.run()
