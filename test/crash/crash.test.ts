/** Ten of the kills of `npm run crash`: eight named points of a round, drawn by the seed, and two at a random time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testSeed } from '../support/seeded-random.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'
import { runCampaign } from './campaign.ts'

const KILLS = 10
const seed = testSeed()

test(
  'after ten kills under load nothing promised is lost, and every job ends paid or refunded exactly once',
  within(240_000, async () => {
    const lines: string[] = []
    const options = { home: tempFolder(), kills: KILLS, seed, progress: (line: string) => lines.push(line) }
    const { violations, kills, promised, books } = await runCampaign(options)
    assert.equal(violations, [], `npm run crash -- --kills ${KILLS} --seed ${seed}\n${lines.join('\n')}`)
    assert.is(kills, KILLS)
    assert.ok(promised > 0 && books.jobs > 0, `${promised} promised, ${books.jobs} jobs`)
  }),
)

test.run()
