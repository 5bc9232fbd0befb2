/** A real daemon in a process of its own, for benchmarks. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../bin/cfab-node.js', import.meta.url))
const START_MS = 60_000

export type BenchDaemon = { readonly address: string; stop(): Promise<void> }

/**
 * Resolves when the daemon can answer: its model is loaded.
 *
 * @param more  flags of `start` beyond these
 * @param env   variables beyond this process's own
 */
export async function startBenchDaemon(
  home: string,
  threads: number,
  more: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<BenchDaemon> {
  const args = [BIN, 'start', '--home', home, '--port', '0', '--threads', String(threads), ...more]
  const options = { env: { ...process.env, ...env } }
  const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  const address = await addressOf(child)
  const deadline = Date.now() + START_MS
  while (!(await isReady(address))) {
    if (Date.now() > deadline) throw new Error('the daemon is not ready in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    address,
    async stop() {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = ''
    child.stdout?.on('data', (part) => {
      seen += String(part)
      const [, address] = /listens on (http:\S+)/.exec(seen) ?? []
      if (address !== undefined) resolve(address)
    })
    child.once('exit', () => reject(new Error('the daemon ended before it listened')))
  })
}

async function isReady(address: string): Promise<boolean> {
  return fetch(`${address}/readyz`).then(
    (response) => response.ok,
    () => false,
  )
}
