/** Bearer key files: created once, private, never half-written. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadOrCreateSecret, readSecret, sameSecret } from '../../../../node/control/secret.ts'
import { codeOf } from '../../../support/error-code.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

test(
  'the first one to ask creates the key, everyone after gets the same',
  within(2_000, async () => {
    const path = join(tempFolder(), 'deep', 'admin.key')
    const keys = await Promise.all([1, 2, 3, 4].map((seed) => loadOrCreateSecret(path, seededRandom(seed))))
    assert.is(new Set(keys).size, 1)
    assert.match(keys[0] ?? '', /^[0-9a-f]{64}$/)
    assert.is(statSync(path).mode & 0o777, 0o600)
    assert.is(readFileSync(path, 'utf8'), `${keys[0]}\n`)
    assert.equal(readdirSync(join(path, '..')), ['admin.key'], 'no draft is left')
    assert.is(await readSecret(path), keys[0])
  }),
)

test(
  'a key that is absent, malformed or open to others is refused',
  within(2_000, async () => {
    const folder = tempFolder()
    const path = join(folder, 'admin.key')
    assert.is(await codeOf(readSecret(path)), 'CF_IDENTITY_KEY_UNREADABLE')
    for (const content of ['', 'short', 'g'.repeat(64), `${'a'.repeat(64)}${'b'.repeat(64)}`]) {
      writeFileSync(path, content, { mode: 0o600 })
      assert.is(await codeOf(readSecret(path)), 'CF_IDENTITY_KEY_UNREADABLE', content)
    }
    writeFileSync(path, `${'a'.repeat(64)}\n`)
    chmodSync(path, 0o640)
    assert.is(await codeOf(loadOrCreateSecret(path, seededRandom(1))), 'CF_IDENTITY_KEY_UNREADABLE')
    assert.is(await codeOf(readSecret(folder)), 'CF_IDENTITY_KEY_UNREADABLE')
  }),
)

test('secrets of any length are compared', () => {
  assert.ok(sameSecret('a', 'a'))
  for (const other of ['', 'b', 'aa', 'a\0']) assert.not(sameSecret(other, 'a'))
})

test.run()
