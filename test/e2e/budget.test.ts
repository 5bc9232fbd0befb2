/** A key's budget through kill -9: however often and wherever the daemon dies, its jobs never cost more, and no credit of it is lost. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAmount } from '../../core/ledger/amount.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { readSecret } from '../../node/control/secret.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { ask, askJson } from '../support/control.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { getJson, parsed, ready, runNode, type SpawnedNode, startNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

/** A job of 16 tokens holds about 0.007: enough for some forty. */
const BUDGET = '0.3'
const CRASH_COUNT = 4
const ASKED_AT_ONCE = 24
/** A crash comes this long after the requests at most. */
const CRASH_MS = 400

const micro = (text: string): bigint => parseAmount(text) ?? 0n

/** Asks for jobs until told to stop; what the crash does to the requests does not matter. */
function askMany({ address }: SpawnedNode, headers: Readonly<Record<string, string>>): Promise<readonly number[]> {
  const body = { model: 'cfab-tiny', prompt: 'hi', max_tokens: 16 }
  return Promise.all(
    Array.from({ length: ASKED_AT_ONCE }, () =>
      askJson(`${address}/api/v1/p2p/intents`, body, headers).then(
        ({ status }) => status,
        () => 0,
      ),
    ),
  )
}

async function usedOf(home: string, node: SpawnedNode) {
  const authorization = `Bearer ${await readSecret(join(home, 'data', 'admin.key'))}`
  const [key] = listAt(parsed(await ask(`${node.address}/api/v1/keys`, { headers: { authorization } })), 'items')
  const amount = (name: string): bigint => micro(textAt(key, name))
  return { spent: amount('spent'), held: amount('held'), open: Number(textAt(key, 'open_jobs')) }
}

test(
  'a budget holds through any number of crashes, and the books of the key are those of the ledger',
  within(180_000, async () => {
    const random = seededRandom(testSeed())
    const home = tempFolder()
    const added = await runNode(['keys', 'api', 'add', '--home', home, '--name', 'ci', '--budget', BUDGET])
    assert.is(added.status, 0, added.err)
    const headers = { authorization: `Bearer ${added.out.trim()}` }
    let exhausted = 0
    for (let crash = 0; crash < CRASH_COUNT; crash += 1) {
      const node = await startNode(home, '--embedding-model', 'none')
      await ready(node)
      const { spent, held } = await usedOf(home, node)
      assert.ok(spent + held <= micro(BUDGET), `after ${crash} crashes: ${spent} spent and ${held} held`)
      const asked = askMany(node, headers)
      await systemClock.sleep(random.below(CRASH_MS))
      node.kill('SIGKILL')
      await node.exited
      exhausted += (await asked).filter((status) => status === 402).length
    }
    const node = await startNode(home, '--embedding-model', 'none')
    try {
      await ready(node)
      while ((await usedOf(home, node)).open > 0) await systemClock.sleep(50)
      exhausted += (await askMany(node, headers)).filter((status) => status === 402).length
      exhausted += (await askMany(node, headers)).filter((status) => status === 402).length
      while ((await usedOf(home, node)).open > 0) await systemClock.sleep(50)
      const jobs = listAt(await getJson(`${node.address}/api/v1/p2p/jobs?limit=200`), 'items')
      const { spent, held } = await usedOf(home, node)
      assert.is(held, 0n)
      assert.is(
        spent,
        jobs.reduce<bigint>((sum, job) => sum + micro(textAt(job, 'cost')), 0n),
        'to the last credit',
      )
      assert.ok(spent <= micro(BUDGET) && spent > 0n, `spent ${spent}`)
      assert.ok(exhausted > 0, 'the budget was reached')
      const audit = await getJson(`${node.address}/api/v1/credits/audit`)
      assert.equal([member(audit, 'zero_sum'), member(audit, 'open_holds')], [true, 0])
    } finally {
      await node.stop()
    }
    assert.ok(existsSync(join(home, 'data', 'api-keys.json')))
  }),
)

test.run()
