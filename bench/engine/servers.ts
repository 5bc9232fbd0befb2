/** The two servers that are asked over HTTP: our daemon with its quorum, books and stream, and llama.cpp's llama-server. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startBenchDaemon } from '../daemon.ts'
import type { Model } from './models.ts'
import type { DriverChoice } from './ours.ts'
import { referencePath } from './references.ts'
import { layersOf } from './tools.ts'

/** `body`: the fields of a question beyond its messages and its length. */
export type Server = { readonly address: string; readonly body: object; stop(): Promise<void> }
export type ServerOptions = { readonly threads: number; readonly slots: number }

const BIN = fileURLToPath(new URL('../../bin/cfab-node.js', import.meta.url))
const START_MS = 60_000
const POLL_MS = 50
const TEMPERATURE = 0.8

export async function startOurs(
  model: Model,
  { threads, slots }: ServerOptions,
  driver: DriverChoice,
  env: NodeJS.ProcessEnv = {},
): Promise<Server> {
  const home = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
  const id = `bench-${model.name}`
  const pulled = spawnSync(process.execPath, [BIN, 'models', 'pull', model.path, '--as', id, '--home', home])
  if (pulled.status !== 0) throw new Error(`the model is not installed: ${String(pulled.stderr)}`)
  const engine = driver === 'auto' ? [] : ['--engine', driver]
  const daemon = await startBenchDaemon(
    home,
    threads,
    ['--model', id, '--slots', String(slots), '--gpu', model.gpu, ...engine],
    env,
  )
  return {
    address: daemon.address,
    body: { model: id, temperature: TEMPERATURE },
    async stop() {
      await daemon.stop()
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** The same slots, context, batches and types; sampling from the same 40 best; nothing remembered of earlier prompts. */
export async function startTheirs(model: Model, { threads, slots }: ServerOptions): Promise<Server> {
  const port = await freePort()
  const sizes = ['-np', String(slots), '-c', String(slots * model.contextTokens), '-b', '2048', '-ub', '512']
  const same = [
    '-t',
    String(threads),
    '-tb',
    String(threads),
    '-fa',
    'on',
    '-ctk',
    'f16',
    '-ctv',
    'f16',
    '--no-kv-unified',
  ]
  const quiet = ['--no-ui', '--log-disable', '--cache-ram', '0', '--host', '127.0.0.1', '--port', String(port)]
  const child = spawn(
    referencePath('llama-server'),
    ['-m', model.path, ...sizes, ...same, ...quiet, ...layersOf(model)],
    {
      stdio: 'ignore',
    },
  )
  const address = `http://127.0.0.1:${port}`
  await whenHealthy(address)
  const sampling = { temperature: TEMPERATURE, top_k: 40, samplers: ['top_k', 'temperature'] }
  return {
    address,
    body: { ...sampling, cache_prompt: false, ignore_eos: true },
    async stop() {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

async function whenHealthy(address: string): Promise<void> {
  const deadline = Date.now() + START_MS
  const isHealthy = () =>
    fetch(`${address}/health`).then(
      (response) => response.ok,
      () => false,
    )
  while (!(await isHealthy())) {
    if (Date.now() > deadline) throw new Error('llama-server is not ready in time')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
