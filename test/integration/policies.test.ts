/** Audit thresholds from the file that `calibrate` wrote into the log of a swarm, by HTTP and by the command line. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import type { GenesisBody } from '../../core/log/genesis.ts'
import { policyIdFor } from '../../core/log/policies.ts'
import { policyRow } from '../../core/log/rows.ts'
import { type PolicyTable, policyIdOf, policyTableCodec } from '../../core/verification/policy-table.ts'
import { writePolicyFile } from '../../node/calibration/policy-file.ts'
import { member, textAt } from '../../node/commands/json.ts'
import { BUNDLED_FOLDER, PolicyDesk, policyFiles } from '../../node/policies.ts'
import { runCommand } from '../support/cli.ts'
import { ADMIN_KEY, ask, askJson, withControl } from '../support/control.ts'
import { createFakeApp } from '../support/fake-app.ts'
import { LogSwarm, MINT_KEY } from '../support/log-swarm.ts'
import { digestNamed, keyNamed } from '../support/people.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const PATH = '/api/v1/verification/policies'
const MODEL = digestNamed('model')
const CALIBRATOR = keyNamed('calibrator')
const ADMIN = { authorization: `Bearer ${ADMIN_KEY}` }
const ROW = {
  ...{ prover: '*', verifier: 'haswell *', temperature: 1, suspectMicro: [4_000, 3_000, 2_000, 1_000] },
  ...{ failMicro: [8_000, 6_000, 4_000, 2_000], worstMicro: 900_000, honestAudits: 3_000, honestTokens: 300_000 },
}
const TABLE: PolicyTable = { model: MODEL, engine: 'llama.cpp/b1 0123 haswell linux-x64', rows: [ROW] }
const ID = policyIdOf(policyTableCodec.encode(TABLE))

function deskOf(genesis: Partial<GenesisBody> = {}, mint: KeyPair = MINT_KEY) {
  const swarm = new LogSwarm(genesis)
  const rows = () =>
    [...swarm.state.policies.entries()].map(([key, policy]) => ({ key, bytes: policyRow.encode(policy) }))
  const desk = new PolicyDesk({
    state: () => swarm.state,
    ledger: { append: async (kind, body) => swarm.apply(kind, body), close: async () => undefined },
    store: { ledgerRows: rows },
    mint,
    nameOf: (model) => (model === MODEL ? 'cfab-tiny' : undefined),
  })
  return { swarm, desk }
}

async function fileOf(table: PolicyTable, name = 'table.policy'): Promise<{ folder: string; path: string }> {
  const folder = tempFolder()
  const path = join(folder, name)
  await writePolicyFile(path, table, CALIBRATOR)
  return { folder, path }
}

test(
  'a table is published and shown by the command line, and another takes its place',
  within(10_000, async () => {
    const { swarm, desk } = deskOf()
    const { folder, path } = await fileOf(TABLE)
    await mkdir(join(folder, 'data'))
    await writeFile(join(folder, 'data', 'admin.key'), `${ADMIN_KEY}\n`, { mode: 0o600 })
    await withControl(
      async ({ control }) => {
        const cli = (...words: string[]) =>
          runCommand([...words, '--home', folder, '--port', String(control.port)], { cwd: folder })
        assert.match((await cli('policy', 'show')).out, 'no table: audits judge nobody')
        const published = await cli('policy', 'publish', path)
        assert.is(published.status, 0, published.err)
        assert.match(published.out, ID)
        assert.match(published.out, `calibrated by ${CALIBRATOR.peer}`)
        assert.is(policyIdFor(swarm.state, MODEL), ID)
        // The same once more changes nothing.
        const entries = swarm.entries.length
        assert.is((await cli('policy', 'publish', path)).status, 0)
        assert.is(swarm.entries.length, entries)

        const next = await fileOf({ ...TABLE, rows: [] })
        assert.is((await cli('policy', 'publish', next.path)).status, 0)
        const shown = await cli('policy', 'show', 'cfab-tiny')
        assert.match(shown.out, 'no, only for jobs held before the next one')
        assert.match(shown.out, /0\.0040 0\.0030 0\.0020 0\.0010 +0\.0080 0\.0060 0\.0040 0\.0020 +0\.9000 +3000/)
        const listed: unknown = JSON.parse((await cli('policy', 'show', MODEL.slice(0, 12), '--json')).out)
        assert.is(textAt(listed, 'items', 1, 'model_name'), 'cfab-tiny')
        assert.match((await cli('policy', 'show', 'another')).out, 'no table for another')
      },
      {},
      { app: { ...createFakeApp(), policies: desk } },
    )
  }),
)

test(
  'what is no signed table is refused with the field that is wrong, and changes nothing',
  within(10_000, async () => {
    const { swarm, desk } = deskOf()
    const wrong = [
      'not base64!',
      Buffer.from('nonsense').toString('base64'),
      // Signed for this very swarm, as an entry of its log is: no file that `calibrate` writes.
      Buffer.from(sealAs(policyTableCodec, TABLE, swarm.state.swarmId, CALIBRATOR)).toString('base64'),
      Buffer.from(new Uint8Array(2_000)).toString('base64'),
    ]
    await withControl(
      async ({ url }) => {
        for (const file of wrong) {
          const reply = await askJson(url + PATH, { file }, ADMIN)
          assert.is(reply.status, 400)
          assert.is(textAt(JSON.parse(reply.body), 'error', 'param'), 'file')
        }
        assert.equal(JSON.parse((await ask(url + PATH)).body), { items: [] })
        assert.is((await ask(`${url + PATH}?model=x`)).status, 400)
        assert.is((await askJson(url + PATH, { file: 'AA==', more: 1 }, ADMIN)).status, 400)
      },
      {},
      { app: { ...createFakeApp(), policies: desk } },
    )
    assert.is(policyIdFor(swarm.state, MODEL), ZERO_DIGEST)
  }),
)

test('a table whose rows rest on a few honest audits is not published', async () => {
  const { desk, swarm } = deskOf()
  const { path } = await fileOf({ ...TABLE, rows: [ROW, { ...ROW, temperature: 0, honestAudits: 149 }] })
  const error: unknown = await desk.publish(await readFile(path)).catch((thrown: unknown) => thrown)
  assert.is(member(error, 'code'), 'CF_CONTROL_BAD_REQUEST')
  assert.is(member(member(error, 'detail'), 'honestAudits'), 149)
  assert.is(policyIdFor(swarm.state, MODEL), ZERO_DIGEST)
})

test('a node without the mint key publishes nothing', async () => {
  const { desk } = deskOf({}, keyNamed('somebody'))
  const { path } = await fileOf(TABLE)
  const error: unknown = await desk.publish(await readFile(path)).catch((thrown: unknown) => thrown)
  assert.is(textAt(error, 'code'), 'CF_CONTROL_UNAUTHORIZED')
  assert.is(member(desk.list(), 'length'), 0)
})

test('a founder enters the tables of its package once, where there are audits', async () => {
  const { folder } = await fileOf(TABLE)
  await writePolicyFile(join(folder, 'other.policy'), { ...TABLE, model: digestNamed('other') }, CALIBRATOR)
  await writeFile(join(folder, 'README.md'), 'not a table')
  const { swarm, desk } = deskOf()
  assert.is(await desk.publishBundled(folder), 2)
  assert.is(await desk.publishBundled(folder), 0)
  assert.is(policyIdFor(swarm.state, MODEL), ID)
  assert.is(await deskOf({}, keyNamed('somebody')).desk.publishBundled(folder), 0)
  const policy = { ...swarm.genesis.policy, auditPermille: 0 }
  assert.is(await deskOf({ policy }).desk.publishBundled(folder), 0)
})

test('a table that its operator has published is not replaced by the one of the package', async () => {
  const { folder } = await fileOf(TABLE)
  const { desk } = deskOf()
  const { path } = await fileOf({ ...TABLE, rows: [] })
  await desk.publish(await readFile(path))
  assert.is(await desk.publishBundled(folder), 0)
})

test('every table of the package can be entered, and a package without any has none', async () => {
  const { desk } = deskOf()
  assert.is(await desk.publishBundled(), (await policyFiles(BUNDLED_FOLDER)).length)
  assert.equal(await policyFiles(join(tempFolder(), 'nowhere')), [])
})

test.run()
