/** The file of API keys: what is at rest, who may read it, many writers, and files that are not as they should be. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Clock } from '../../../../node/runtime/ports.ts'
import { keyFile, NO_LIMITS } from '../../../support/access.ts'
import { codeOf, failureOf } from '../../../support/error-code.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const WISH = { ...NO_LIMITS, name: 'ci', role: 'user' } as const
const newPath = (): string => join(tempFolder(), 'data', 'api-keys.json')

test(
  'a key is kept as the hash of 256 random bits, in a file of its owner',
  within(5_000, async () => {
    const path = newPath()
    const { key, text } = await keyFile(path).add({ ...WISH, budget: 5n, ratePerMinute: 60, priority: 'low' })
    assert.match(text, /^cfab_[0-9a-f]{16}_[0-9a-f]{64}$/)
    assert.is(statSync(path).mode & 0o777, 0o600)
    assert.not.match(readFileSync(path, 'utf8'), text.slice(-64))
    assert.equal(keyFile(path).list(), [key], 'another process reads the same')
    assert.equal(keyFile(path).find(key.id), key)
  }),
)

test(
  'keys that several processes add at once are all there',
  within(20_000, async () => {
    const path = newPath()
    const program = new URL('key-adder.program.ts', import.meta.url).pathname
    const [processes, each] = [3, 5]
    const children = Array.from({ length: processes }, () =>
      spawn(process.execPath, [program, path, String(each)], { stdio: 'inherit' }),
    )
    const own = Promise.all(Array.from({ length: each }, () => keyFile(path).add(WISH)))
    const ends = await Promise.all(children.map((child) => once(child, 'exit')))
    await own
    assert.equal(
      ends.map(([code]) => code),
      [0, 0, 0],
    )
    assert.is(keyFile(path).list().length, (processes + 1) * each)
  }),
)

test(
  'the lock of a process that died is taken over; that of a living one is respected',
  within(10_000, async () => {
    const path = newPath()
    await keyFile(path).add(WISH)
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    writeFileSync(`${path}.lock`, String(child.pid))
    assert.is(await codeOf(keyFile(path).add(WISH)), 'resolved')
    writeFileSync(`${path}.lock`, String(process.pid))
    const failure = await failureOf(keyFile(path, impatient()).add(WISH))
    assert.equal([failure.code, failure.detail['file']], ['CF_IDENTITY_KEY_UNREADABLE', `${path}.lock`])
    assert.is(keyFile(path).list().length, 2)
  }),
)

/** Sleeps no time. */
function impatient(): Clock {
  return { ...manualClock(0), sleep: async () => undefined }
}

test(
  'what another process wrote is seen after a quarter of a second, and until then the file is not looked at',
  within(5_000, async () => {
    const [path, clock] = [newPath(), manualClock(0)]
    const daemon = keyFile(path, clock)
    assert.is(daemon.find('0'.repeat(16)), undefined)
    const { key } = await keyFile(path).add(WISH)
    await clock.advance(249)
    assert.is(daemon.find(key.id), undefined)
    await clock.advance(1)
    assert.is(daemon.find(key.id)?.id, key.id)
    await keyFile(path).revoke(key.id)
    await clock.advance(250)
    assert.is(daemon.find(key.id), undefined)
  }),
)

test(
  'a file that others may read, is a link, or is not what it should be makes every key in it bad until it is right again',
  within(10_000, async () => {
    const [path, clock] = [newPath(), manualClock(0)]
    const { key } = await keyFile(path).add(WISH)
    const good = readFileSync(path, 'utf8')
    const daemon = keyFile(path, clock)
    const isFound = async (): Promise<boolean> => {
      await clock.advance(250)
      return daemon.find(key.id) !== undefined
    }
    assert.ok(await isFound())
    chmodSync(path, 0o644)
    assert.not(await isFound(), 'others may read it')
    chmodSync(path, 0o600)
    assert.ok(await isFound())
    renameSync(path, `${path}.real`)
    symlinkSync(`${path}.real`, path)
    assert.not(await isFound(), 'a link')
    unlinkSync(path)
    for (const bad of [
      '',
      '{',
      '[]',
      '{"version":2,"keys":[]}',
      good.replace('"user"', '"root"'),
      good.replace('"burst"', '"bust"'),
      good.replace('"budget_micro": null', '"budget_micro": 5'),
      good.replace('"budget_micro": null', '"budget_micro": "-5"'),
      good.replace('"rate_per_minute": null', '"rate_per_minute": 1.5'),
      good.replace('"name"', '"extra": 1, "name"'),
      good.replace(/"keys": \[(.*)\]/s, '"keys": [$1,$1]'),
      'x'.repeat(2_000_000),
    ]) {
      writeFileSync(path, bad, { mode: 0o600 })
      assert.not(await isFound(), bad.slice(0, 300))
      assert.is((await failureOf(daemon.add(WISH))).code, 'CF_IDENTITY_KEY_UNREADABLE', 'and it is not overwritten')
      assert.is(readFileSync(path, 'utf8'), bad)
    }
    writeFileSync(path, good, { mode: 0o600 })
    assert.ok(await isFound())
    unlinkSync(path)
    assert.not(await isFound(), 'no file, no keys')
  }),
)

test(
  'there is a last key that is made',
  within(10_000, async () => {
    const path = newPath()
    const { key } = await keyFile(path).add(WISH)
    const [row] = JSON.parse(readFileSync(path, 'utf8')).keys
    const rows = Array.from({ length: 999 }, (_, index) => ({ ...row, id: index.toString(16).padStart(16, '0') }))
    writeFileSync(path, JSON.stringify({ version: 1, keys: rows }))
    assert.is(await codeOf(keyFile(path).add(WISH)), 'resolved')
    assert.is(await codeOf(keyFile(path).add(WISH)), 'CF_CONTROL_TOO_MANY_KEYS')
    assert.is(await codeOf(keyFile(path).revoke(key.id)), 'CF_CONTROL_KEY_UNKNOWN')
    assert.is(await codeOf(keyFile(path).revoke(rows[0]?.id ?? '')), 'resolved')
    assert.is(await codeOf(keyFile(path).add(WISH)), 'resolved')
  }),
)

test(
  'a folder that cannot be written is told with a code',
  within(5_000, async () => {
    const folder = tempFolder()
    mkdirSync(join(folder, 'api-keys.json'))
    assert.is(await codeOf(keyFile(join(folder, 'api-keys.json')).add(WISH)), 'CF_IDENTITY_KEY_UNREADABLE')
  }),
)

test.run()
