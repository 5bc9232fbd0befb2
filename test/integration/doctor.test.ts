/** `cfab-node doctor`: what it finds on a machine that has everything, and what it says where something is wrong. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, textAt } from '../../node/commands/json.ts'
import { runCommand } from '../support/cli.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

async function doctor(home: string, ...args: readonly string[]) {
  const { status, out } = await runCommand(['doctor', '--json', '--home', home, ...args], { cwd: home })
  const checks = listAt(JSON.parse(out), 'checks').map((check) => [textAt(check, 'name'), check] as const)
  const said = new Map(checks)
  return { status, names: [...said.keys()], verdict: (name: string) => textAt(said.get(name), 'verdict'), said }
}

test(
  'every check is made, and says which driver runs and why',
  within(60_000, async () => {
    const home = tempFolder()
    const { status, names, said, verdict } = await doctor(home, '--port', '0')
    assert.equal(names, [
      ...['Node.js', 'settings', 'compiler', 'draw kernel', 'engine add-on', 'driver', 'memory', 'disk', 'port'],
      'models',
    ])
    assert.match(textAt(said.get('driver'), 'detail'), /^(?:native, llama\.cpp\/.* pinned ones|lockstep \(.+\))$/)
    assert.equal(['Node.js', 'memory', 'port', 'models'].map(verdict), ['ok', 'ok', 'ok', 'ok'])
    assert.is(status, 0)
    const text = await runCommand(['doctor', '--home', home, '--port', '0'], { cwd: home })
    assert.match(text.out, /^ok +Node\.js +v\d+/)
  }),
)

test(
  'what is wrong is told, with what to do, and in the exit status',
  within(60_000, async () => {
    const home = tempFolder()
    mkdirSync(join(home, 'data', 'models'), { recursive: true })
    writeFileSync(join(home, 'data', 'models', 'broken.json'), '{')
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const address = taken.address()
    const port = typeof address === 'object' && address !== null ? String(address.port) : ''
    try {
      const { status, said, verdict } = await doctor(home, '--port', port, '--gpu', 'metal')
      assert.equal(['port', 'models', 'driver'].map(verdict), [
        'fail',
        'warn',
        process.platform === 'darwin' ? 'ok' : 'fail',
      ])
      assert.match(textAt(said.get('models'), 'detail'), 'broken')
      assert.match(textAt(said.get('port'), 'hint'), '--port')
      assert.is(status, 69)
    } finally {
      taken.close()
    }
  }),
)

test.run()
