/** The compute host as a process: it dies, hangs and is orphaned here, and the daemon's Backend goes on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { GenerateRequest, LoadedModel, TokenBatch } from '../../models/backend.ts'
import type { HostBackend } from '../../node/hosts/host-backend.ts'
import type { HostState } from '../../node/hosts/supervisor.ts'
import { type Answer, answerOf, GREEDY, LLAMA, NEVER, promptOf } from '../support/ask-backend.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { childrenOf } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const CAPITAL = 'What is the capital of France?'
const SETTINGS = { backoffMinMs: 10, stderr: 'ignore' } as const

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function requestOf(backend: HostBackend, content: string, maxTokens = 64): Promise<GenerateRequest> {
  const promptIds = await promptOf(backend, [{ role: 'user', content }])
  return { promptIds, sampling: GREEDY, seed: new Uint8Array(32), maxTokens, stop: [] }
}

/** A request that runs to its length: the tokens that would end it are forbidden. */
async function endless(backend: HostBackend, { stopIds }: LoadedModel): Promise<GenerateRequest> {
  const logitBias = stopIds.map((id) => [id, -100] as const)
  return { ...(await requestOf(backend, 'Tell me a story.', 900)), sampling: { ...LLAMA, logitBias } }
}

async function ask(backend: HostBackend, content: string): Promise<Answer> {
  return answerOf(backend.generate(await requestOf(backend, content), NEVER))
}

async function reaches(backend: HostBackend, state: HostState): Promise<void> {
  while (backend.state !== state) await wait(5)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A process that nobody has waited for is still listed.
    return !existsSync(`/proc/${pid}/stat`) || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test(
  'the bundled model answers through template, tokens and sampling as it was trained to',
  within(20_000, async () => {
    const { backend } = createHost(SETTINGS)
    const model = await backend.load(TINY_LOAD)
    const { text, finish, ids } = await ask(backend, CAPITAL)
    assert.is(text, 'The capital of France is Paris.')
    assert.is(finish, 'stop')
    assert.ok(model.stopIds.includes(ids.at(-1) ?? -1))
    assert.is.not(backend.pid, process.pid)
    await backend.close()
  }),
)

for (const signal of ['SIGKILL', 'SIGABRT', 'SIGSEGV'] as const) {
  test(
    `a host that ends by ${signal} fails what ran on it, and the same backend answers again`,
    within(20_000, async () => {
      const { backend, events } = createHost(SETTINGS)
      const model = await backend.load(TINY_LOAD)
      const pid = backend.pid ?? 0
      const request = await endless(backend, model)
      const running = [1, 2, 3, 4, 5, 6].map(() => codeOf(answerOf(backend.generate(request, NEVER))))
      await wait(30)
      process.kill(pid, signal)
      assert.equal(new Set(await Promise.all(running)), new Set(['CF_WORKER_HOST_LOST']))
      assert.is(backend.state, 'restarting')
      assert.is((await ask(backend, CAPITAL)).text, 'The capital of France is Paris.')
      assert.is(backend.state, 'ready')
      assert.is.not(backend.pid, pid)
      assert.equal(
        events.map(({ type }) => type),
        ['host_ready', 'host_lost', 'host_ready'],
      )
      await backend.close()
    }),
  )
}

test(
  'a stopped host is noticed by its silence, killed and replaced',
  within(20_000, async () => {
    const { backend, events } = createHost({ ...SETTINGS, silenceMs: 400 })
    const model = await backend.load(TINY_LOAD)
    const request = await endless(backend, model)
    const running = codeOf(answerOf(backend.generate(request, NEVER)))
    await wait(20)
    process.kill(backend.pid ?? 0, 'SIGSTOP')
    assert.is(await running, 'CF_WORKER_HOST_LOST')
    assert.is((await ask(backend, CAPITAL)).text, 'The capital of France is Paris.')
    assert.ok(events.some(({ type }) => type === 'host_silent'))
    await backend.close()
  }),
)

test(
  'while its file is gone the host fails and says so; when it is back so is the model',
  within(30_000, async () => {
    const path = join(tempFolder(), 'model.gguf')
    await copyFile(TINY_LOAD.path, path)
    const { backend } = createHost({ ...SETTINGS, failedAfterCount: 2, backoffMaxMs: 50 })
    await backend.load({ ...TINY_LOAD, path })
    await rename(path, `${path}.away`)
    process.kill(backend.pid ?? 0, 'SIGKILL')
    await reaches(backend, 'failed')
    assert.is(await codeOf(ask(backend, CAPITAL)), 'CF_WORKER_HOST_LOST')
    await rename(`${path}.away`, path)
    await reaches(backend, 'ready')
    assert.is((await ask(backend, CAPITAL)).text, 'The capital of France is Paris.')
    await backend.close()
  }),
)

test(
  'signals of the terminal and the service manager leave the host to its daemon',
  within(20_000, async () => {
    const { backend } = createHost(SETTINGS)
    await backend.load(TINY_LOAD)
    const pid = backend.pid ?? 0
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
    assert.is((await ask(backend, CAPITAL)).finish, 'stop')
    assert.is(backend.pid, pid)
    await backend.close()
    assert.not.ok(isAlive(pid))
  }),
)

test(
  'a host whose daemon is killed ends too, even while it computes',
  within(20_000, async () => {
    const script = new URL('./hosts-child.ts', import.meta.url).pathname
    const daemon = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(daemon.stdout, 'data')
    const pid = Number(String(line))
    assert.ok(isAlive(pid))
    await wait(50)
    daemon.kill('SIGKILL')
    while (isAlive(pid)) await wait(5)
  }),
)

test(
  'the host does not see what the daemon was told in its own variables',
  within(20_000, async () => {
    process.env['CFAB_SECRET'] = 'sesame'
    const { backend } = createHost(SETTINGS)
    await backend.load(TINY_LOAD)
    const environment = `/proc/${backend.pid}/environ`
    if (existsSync(environment)) assert.not.match(readFileSync(environment, 'utf8'), 'sesame')
    await backend.close()
  }),
)

test(
  'loading another model ends what runs as aborted, and a file that fails leaves none',
  within(30_000, async () => {
    const { backend } = createHost(SETTINGS)
    const model = await backend.load(TINY_LOAD)
    const request = await endless(backend, model)
    const running: TokenBatch[] = []
    const done = (async () => {
      for await (const batch of backend.generate(request, NEVER)) running.push(batch)
    })()
    while (running.length === 0) await wait(1)
    await backend.load({ ...TINY_LOAD, slotCount: 1 })
    await done
    assert.is(running.at(-1)?.finish, 'aborted')
    assert.is((await ask(backend, CAPITAL)).finish, 'stop')
    assert.is(await codeOf(backend.load({ ...TINY_LOAD, path: '/nowhere.gguf' })), 'CF_MODEL_LOAD_FAILED')
    assert.is(await codeOf(ask(backend, CAPITAL)), 'CF_MODEL_UNKNOWN')
    await backend.close()
  }),
)

test(
  'a penalty makes the model say less again of what it said, and a negative one more',
  within(20_000, async () => {
    const { backend } = createHost(SETTINGS)
    await backend.load(TINY_LOAD)
    const request = await requestOf(backend, 'Tell me a short story about a fox.', 150)
    const repeated = async (frequencyPenalty: number): Promise<number> => {
      const sampling = { ...LLAMA, temperature: 0, frequencyPenalty }
      const { ids } = await answerOf(backend.generate({ ...request, sampling }, NEVER))
      return 1 - new Set(ids).size / ids.length
    }
    const [without, greedy] = [await repeated(0), await answerOf(backend.generate(request, NEVER))]
    assert.is(without, 1 - new Set(greedy.ids).size / greedy.ids.length)
    assert.ok((await repeated(2)) < without)
    assert.ok((await repeated(-2)) > without * 2)
    await backend.close()
  }),
)

/** Kills the next compute host as soon as it is there, while it still loads. */
async function killNext(known: Set<number>): Promise<void> {
  for (;;) {
    const fresh = childrenOf(process.pid).filter((pid) => !known.has(pid) && commandOf(pid).includes('models/host'))
    for (const pid of fresh) known.add(pid)
    for (const pid of fresh) process.kill(pid, 'SIGKILL')
    if (fresh.length > 0) return
    await wait(5)
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

test(
  'a host that is killed during its first load is started again; the eighth death is the end of it',
  within(30_000, async () => {
    const { backend } = createHost(SETTINGS)
    const known = new Set(childrenOf(process.pid))
    const loading = backend.load(TINY_LOAD)
    await killNext(known)
    await loading
    assert.is((await ask(backend, CAPITAL)).text, 'The capital of France is Paris.')
    await backend.close()
    const other = createHost(SETTINGS).backend
    const failing = codeOf(other.load(TINY_LOAD))
    for (let death = 0; death < 8; death += 1) await killNext(known)
    assert.is(await failing, 'CF_MODEL_LOAD_FAILED')
    await other.close()
  }),
)

test(
  'a load that takes too long is given up',
  within(20_000, async () => {
    const { backend } = createHost({ ...SETTINGS, loadMs: 1 })
    assert.is(await codeOf(backend.load(TINY_LOAD)), 'CF_MODEL_LOAD_FAILED')
    await backend.close()
  }),
)

test.after(closeHosts)
test(
  'a signal that aborts just after the call began ends the generation, at whatever turn',
  within(60_000, async () => {
    const { backend } = createHost(SETTINGS)
    const request = await endless(backend, await backend.load(TINY_LOAD))
    for (let turns = 0; turns < 12; turns++) {
      const stop = new AbortController()
      const answer = answerOf(backend.generate(request, stop.signal))
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      stop.abort()
      const { ids, finish } = await answer
      assert.is(finish, 'aborted', `after ${turns} turns`)
      assert.ok(ids.length < 100)
    }
    assert.is((await backend.metrics()).slotsBusy, 0)
    await backend.close()
  }),
)

/** For a process of its own, which may not open another file. */
const WITHOUT_FILES = `
  import { openSync } from 'node:fs'
  import { createHost, TINY_LOAD } from './test/support/host.ts'
  const { backend } = createHost({ backoffMinMs: 1, backoffMaxMs: 1 })
  const files = []
  try { for (;;) files.push(openSync('/dev/null', 'r')) } catch {}
  const { code, detail } = await backend.load(TINY_LOAD).catch((error) => error)
  console.log(code, detail.reason)
  await backend.close()`

test(
  'a host that cannot be started because the daemon has too many files open fails the load, not the daemon',
  within(60_000, async () => {
    const child = spawn(
      'sh',
      ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, WITHOUT_FILES],
      {
        cwd: join(import.meta.dirname, '../..'),
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    let said = ''
    child.stdout.on('data', (bytes) => (said += String(bytes)))
    const [status] = await once(child, 'close')
    assert.is(said.trim(), 'CF_MODEL_LOAD_FAILED host_lost')
    assert.is(status, 0)
  }),
)

test.run()
