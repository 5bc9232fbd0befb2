/** What a hub is told and what it is believed: tokens, stated digests, redirects, proxies; and a pull that is killed. */
import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { request as ask, createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KNOWN_MODELS } from '../../models/catalogue-known.ts'
import { runCommand } from '../support/cli.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { type Fault, MODEL_BYTES, MODEL_DIGEST, type Seen, startModelServer } from '../support/model-server.ts'
import { inPlace, partFile, pullTo } from '../support/pull.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 60_000
const SOURCE = 'hf:org/repo/dir/m.gguf@v1'
const COMMAND = fileURLToPath(new URL('../../bin/cfab-node.js', import.meta.url))
const HALF = MODEL_BYTES.length >> 1

/** A hub that redirects to a store on another origin, as hubs do. */
async function withHub(
  stated: string,
  faultOf: (index: number, seen: Seen) => Fault,
  work: (hub: Awaited<ReturnType<typeof startModelServer>>, store: typeof hub, folder: string) => Promise<void>,
): Promise<void> {
  const store = await startModelServer(faultOf)
  const hub = await startModelServer(() => ({ kind: 'redirect', to: `${store.origin}/blob?signed=1`, stated }))
  try {
    await work(hub, store, join(tempFolder(), 'models'))
  } finally {
    await hub.close()
    await store.close()
  }
}

test(
  'the token goes to the hub and never to where the hub redirects; the digest that the hub states is checked and kept',
  within(LIMIT_MS, () =>
    withHub(
      MODEL_DIGEST,
      () => ({ kind: 'none' }),
      async (hub, store, folder) => {
        const { manifest } = await pullTo(
          folder,
          { model: SOURCE },
          { env: { HF_ENDPOINT: hub.origin, HF_TOKEN: 'secret' } },
        )
        assert.equal(
          hub.seen.map(({ path, authorization }) => [path, authorization]),
          [['/org/repo/resolve/v1/dir/m.gguf', 'Bearer secret']],
        )
        assert.equal(
          store.seen.map(({ path, authorization }) => [path, authorization]),
          [['/blob?signed=1', undefined]],
        )
        assert.equal(
          [manifest.id, manifest.trust, manifest.digest, manifest.source],
          ['m', 'stated', MODEL_DIGEST, SOURCE],
        )
      },
    ),
  ),
)

test(
  'a file that is not what the hub states is refused',
  within(LIMIT_MS, () =>
    withHub(
      '0'.repeat(64),
      () => ({ kind: 'none' }),
      async (hub, _store, folder) => {
        const failure = await failureOf(pullTo(folder, { model: SOURCE }, { env: { HF_ENDPOINT: hub.origin } }))
        assert.equal([failure.code, failure.detail['got']], ['CF_MODEL_DIGEST_MISMATCH', MODEL_DIGEST])
        assert.equal(inPlace(folder), [])
      },
    ),
  ),
)

test(
  'a hub that states another digest than the one asked for is refused before a byte is kept',
  within(LIMIT_MS, () =>
    withHub(
      '0'.repeat(64),
      () => ({ kind: 'none' }),
      async (hub, _store, folder) => {
        const pull = pullTo(folder, { model: SOURCE, digest: MODEL_DIGEST }, { env: { HF_ENDPOINT: hub.origin } })
        const failure = await failureOf(pull)
        assert.equal([failure.code, failure.detail['stated']], ['CF_MODEL_DIGEST_MISMATCH', '0'.repeat(64)])
        assert.throws(() => statSync(partFile(folder, 'm')), /ENOENT/)
      },
    ),
  ),
)

test(
  'what a redirect target says of the digest is not believed',
  within(LIMIT_MS, async () => {
    const store = await startModelServer(() => ({ kind: 'none' }))
    const liar = await startModelServer(() => ({ kind: 'redirect', to: store.origin, stated: '0'.repeat(64) }))
    const hub = await startModelServer(() => ({ kind: 'redirect', to: `${liar.origin}/x` }))
    const folder = join(tempFolder(), 'models')
    const { manifest } = await pullTo(folder, { model: SOURCE }, { env: { HF_ENDPOINT: hub.origin, HF_TOKEN: 't' } })
    assert.equal([manifest.trust, liar.seen[0]?.authorization], ['first-use', undefined])
    for (const server of [hub, liar, store]) await server.close()
  }),
)

test(
  'five redirects are followed, six are not',
  within(LIMIT_MS, async () => {
    const chain = (length: number) =>
      startModelServer((index) => (index < length ? { kind: 'redirect', to: `/hop${index}` } : { kind: 'none' }))
    for (const [length, code] of [
      [5, 'resolved'],
      [6, 'CF_MODEL_SOURCE_INVALID'],
    ] as const) {
      const server = await chain(length)
      assert.is(await codeOf(pullTo(join(tempFolder(), 'm'), { model: `${server.origin}/m.gguf` })), code)
      await server.close()
    }
  }),
)

test(
  'every known model is asked for at the place that its source says, and its pinned digest is held',
  within(LIMIT_MS, async () => {
    const server = await startModelServer(() => ({ kind: 'none' }))
    for (const { id, task, digest } of KNOWN_MODELS) {
      const folder = join(tempFolder(), 'models')
      const code = await codeOf(pullTo(folder, { model: id }, { env: { HF_ENDPOINT: server.origin } }))
      // An encoder's vocabulary comes first, and a GGUF file is none.
      if (task === 'embedding') assert.is(code, 'CF_MODEL_FORMAT_INVALID', id)
      // The stand-in is another file: its size contradicts the catalogue, or nothing pins it.
      else assert.is(code, digest === undefined ? 'resolved' : 'CF_MODEL_PULL_FAILED', id)
    }
    assert.ok(
      server.seen.every(({ path }) =>
        /^\/[\w.-]+\/[\w.-]+\/resolve\/(?:main|[0-9a-f]{40})\/(?:[\w.-]+\.gguf|tokenizer\.json)$/.test(path),
      ),
    )
    await server.close()
  }),
)

/** A forward proxy: absolute-form requests and CONNECT tunnels. */
async function startProxy() {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const onward = ask(request.url ?? '', { headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`)
    const [host, port] = (request.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  const address = server.address()
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { asked, close, origin: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` }
}

test(
  'a proxy of the environment is used, and NO_PROXY goes past it',
  within(LIMIT_MS, async () => {
    const server = await startModelServer((index) => (index === 0 ? { kind: 'cut', at: HALF } : { kind: 'none' }))
    const proxy = await startProxy()
    const pull = (env: Readonly<Record<string, string>>) =>
      pullTo(join(tempFolder(), 'models'), { model: `${server.origin}/m.gguf`, digest: MODEL_DIGEST }, { env })
    await pull({ HTTP_PROXY: proxy.origin })
    assert.equal(proxy.asked.length > 0 && proxy.asked.every((line) => line.includes(server.origin.slice(7))), true)
    assert.is(server.seen.length, 2)
    const before = proxy.asked.length
    await pull({ HTTP_PROXY: proxy.origin, NO_PROXY: '127.0.0.1' })
    assert.equal([proxy.asked.length, server.seen.length], [before, 3])
    await proxy.close()
    assert.is(await codeOf(pull({ http_proxy: proxy.origin })), 'CF_MODEL_SOURCE_UNREACHABLE')
    await server.close()
  }),
)

test(
  'a pull that was killed goes on where it was: every byte is sent once',
  within(LIMIT_MS, () =>
    withHub(
      MODEL_DIGEST,
      (index) => (index === 0 ? { kind: 'stall', at: HALF } : { kind: 'none' }),
      async (hub, store, folder) => {
        const home = join(folder, '..')
        const models = join(home, 'data', 'models')
        const child = spawn(process.execPath, [COMMAND, 'models', 'pull', SOURCE, '--home', home], {
          env: { ...process.env, HF_ENDPOINT: hub.origin, NO_PROXY: '127.0.0.1' },
          stdio: 'ignore',
        })
        const ended = new Promise((resolve) => child.once('exit', resolve))
        while (sizeOf(partFile(models, 'm')) < HALF) await sleep(10)
        child.kill('SIGKILL')
        await ended
        assert.equal(inPlace(models), [])
        const env = { HF_ENDPOINT: hub.origin }
        const again = await runCommand(['models', 'pull', SOURCE, '--home', home, '--json'], { cwd: home, env })
        assert.is(again.status, 0, again.err)
        assert.equal(
          [store.seen[1]?.range, store.seen.reduce((sum, { served }) => sum + served, 0)],
          [`bytes=${HALF}-`, MODEL_BYTES.length],
        )
        assert.match(again.err, /^going on after 714\.\d kB of an earlier pull\n/)
        assert.equal(JSON.parse(again.out).digest, MODEL_DIGEST)
        assert.ok(readFileSync(join(models, `${MODEL_DIGEST}.gguf`)).equals(MODEL_BYTES))
      },
    ),
  ),
)

test(
  'Ctrl-C ends a pull with status 130 and says how to go on',
  within(LIMIT_MS, async () => {
    const server = await startModelServer(() => ({ kind: 'stall', at: HALF }))
    const home = tempFolder()
    const models = join(home, 'data', 'models')
    const stop = async (interrupt: () => void): Promise<void> => {
      while (sizeOf(partFile(models, 'm')) < HALF) await sleep(10)
      interrupt()
    }
    const run = await runCommand(['models', 'pull', `${server.origin}/m.gguf`, '--home', home], {
      cwd: home,
      onReady: (interrupt) => void stop(interrupt),
    })
    assert.equal([run.status, run.out], [130, ''])
    assert.match(run.err, /kept, and the same command goes on/)
    const listed = await runCommand(['models', 'ls', '--home', home], { cwd: home })
    assert.match(listed.out, /^m +- .* partial /m)
    const removed = await runCommand(['models', 'rm', 'm', '--home', home], { cwd: home })
    assert.equal([removed.status, sizeOf(partFile(models, 'm'))], [0, 0])
    await server.close()
  }),
)

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

test.run()
