/** The network that other tests run daemons in: what a router refuses is refused, what is cut is cut, and nothing stays behind. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Machine, startNetwork, type TestNetwork, withoutNamespaces } from '../support/netns.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 60_000
const PORT = 4_000
const SERVE = `require('net').createServer((socket) => socket.end('hello')).listen(${PORT}, () => console.log('listens'))`
const DIAL = `const [host] = process.argv.slice(1)
const socket = require('net').connect({ host, port: ${PORT}, timeout: 1500 })
socket.on('data', (bytes) => console.log(bytes.toString()))
socket.on('timeout', () => { console.log('silence'); socket.destroy() })
socket.on('error', (error) => console.log(error.code))`

const reason = withoutNamespaces()
if (reason !== undefined) console.log(`skipped: ${reason}`)
const tests = reason === undefined ? test : test.skip

async function serve({ enter: [command = '', ...words] }: Machine): Promise<ChildProcess> {
  const child = spawn(command, [...words, process.execPath, '-e', SERVE], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout })) if (line === 'listens') return child
  throw new Error('it does not listen')
}

/** @returns what the other side said, `silence`, or the error's code */
function dial({ enter: [command = '', ...words] }: Machine, host: string): Promise<string> {
  const child = spawn(command, [...words, process.execPath, '-e', DIAL, host], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part
  })
  return new Promise((resolve) => child.once('close', () => resolve(out.trim())))
}

async function withNetwork(nats: readonly boolean[], work: (network: TestNetwork) => Promise<void>): Promise<void> {
  const network = startNetwork(nats)
  try {
    await work(network)
  } finally {
    network.stop()
  }
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  assert.not.match(stdout, `-${process.pid}-`)
}

tests(
  'a machine behind a router reaches others and is reached by nobody',
  within(LIMIT_MS, () =>
    withNetwork([false, true], async ({ machines: [open, hidden] }) => {
      assert.ok(open !== undefined && hidden !== undefined)
      const servers = [await serve(open), await serve(hidden)]
      assert.is(await dial(hidden, open.address), 'hello')
      assert.is(await dial(open, hidden.address), 'ECONNREFUSED')
      assert.match(await dial(open, '192.168.1.2'), /ENETUNREACH|EHOSTUNREACH/)
      for (const server of servers) server.kill('SIGKILL')
    }),
  ),
)

tests(
  'a cut parts two groups and heals, and a link that loses packets still carries them',
  within(LIMIT_MS, () =>
    withNetwork([false, false, false], async (network) => {
      const [a, b, c] = network.machines
      assert.ok(a !== undefined && b !== undefined && c !== undefined)
      const server = await serve(a)
      network.partition([0, 1], [2])
      assert.equal(await Promise.all([dial(b, a.address), dial(c, a.address)]), ['hello', 'silence'])
      network.heal()
      network.impair(2, { lossPermille: 100, delayMs: 20 })
      const heard = await Promise.all(Array.from({ length: 5 }, () => dial(c, a.address)))
      assert.ok(heard.filter((text) => text === 'hello').length >= 3, heard.join())
      server.kill('SIGKILL')
    }),
  ),
)

test.run()
