import { chmodSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../../../core/codec/bytes.ts'
import { systemRandom } from '../../../../node/runtime/system.ts'
import { createKeyStore } from '../../../../node/stores/keystore.ts'
import { failureOf } from '../../../support/error-code.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const SEED_LINE = `${'0b'.repeat(32)}\n`

async function faultOf(write: (path: string) => void): Promise<readonly unknown[]> {
  const folder = tempFolder()
  write(join(folder, 'node.key'))
  const { code, detail } = await failureOf(createKeyStore(folder, systemRandom).load('node'))
  return [code, detail['reason']]
}

test(
  'a key file and its folder are for their owner only, and nothing else is left behind',
  within(2_000, async () => {
    const folder = join(tempFolder(), 'keys')
    const key = await createKeyStore(folder, systemRandom).load('node')
    assert.is(statSync(folder).mode & 0o777, 0o700)
    assert.is(statSync(join(folder, 'node.key')).mode & 0o777, 0o600)
    assert.equal(readdirSync(folder), ['node.key'])
    assert.is.not(toHex(key.seed), '00'.repeat(32))
  }),
)

test(
  'a file that others may read is refused, and not replaced',
  within(2_000, async () => {
    const loose = (mode: number) =>
      faultOf((path) => {
        writeFileSync(path, SEED_LINE)
        chmodSync(path, mode)
      })
    for (const mode of [0o640, 0o604, 0o620, 0o601])
      assert.equal(await loose(mode), ['CF_IDENTITY_KEY_UNREADABLE', 'mode_too_open'])
  }),
)

test(
  'a link in place of a key file is refused',
  within(2_000, async () => {
    const fault = await faultOf((path) => {
      const elsewhere = join(tempFolder(), 'elsewhere')
      writeFileSync(elsewhere, SEED_LINE, { mode: 0o600 })
      symlinkSync(elsewhere, path)
    })
    assert.equal(fault, ['CF_IDENTITY_KEY_UNREADABLE', 'io'])
  }),
)

test(
  'anything but 64 lowercase hex digits and a newline is refused',
  within(2_000, async () => {
    const contents = [
      '',
      SEED_LINE.slice(1),
      SEED_LINE.toUpperCase(),
      `${SEED_LINE}\n`,
      SEED_LINE.replace('\n', ' '),
      'x'.repeat(65),
      SEED_LINE.repeat(1_000),
    ]
    for (const content of contents) {
      const fault = await faultOf((path) => writeFileSync(path, content, { mode: 0o600 }))
      assert.equal(fault, ['CF_IDENTITY_KEY_UNREADABLE', 'malformed'], JSON.stringify(content.slice(0, 70)))
    }
  }),
)

test(
  'list shows key files and nothing else',
  within(2_000, async () => {
    const folder = tempFolder()
    const store = createKeyStore(folder, systemRandom)
    await store.load('user')
    for (const file of ['node.key.aa.draft', 'UPPER.key', 'notes.txt']) writeFileSync(join(folder, file), '')
    assert.equal(await store.list(), ['user'])
    assert.equal(await createKeyStore(join(folder, 'absent'), systemRandom).list(), [])
  }),
)

test.run()
