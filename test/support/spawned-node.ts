/** `cfab-node` and other programs of the daemon in processes of their own: started, asked, signalled, and never left behind. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ask, type Reply } from './control.ts'

export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type SpawnedNode = {
  readonly pid: number
  /** `http://127.0.0.1:<port>` */
  readonly address: string
  readonly exited: Promise<Ended>
  readonly out: () => string
  readonly err: () => string
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, then its end. */
  stop(): Promise<Ended>
}

const COMMAND = fileURLToPath(new URL('../../bin/cfab-node.js', import.meta.url))
const LISTENS = /listens on (http:\/\/\S+)/
const READY_POLL_MS = 10

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts `cfab-node start` on a free port. @returns once it listens; the model may still be loading */
export function startNode(home: string, ...args: readonly string[]): Promise<SpawnedNode> {
  return startProgram([COMMAND, 'start', '--home', home, '--port', '0', ...args])
}

/** @returns once the program has printed where it listens. @throws when it ends before, with what it said */
export function startProgram(
  command: readonly string[],
  options: { readonly killAfterMs?: number } = {},
): Promise<SpawnedNode> {
  const child = spawn(process.execPath, command, { stdio: ['pipe', 'pipe', 'pipe'], env: plainEnvironment() })
  running.add(child)
  const { killAfterMs } = options
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  let [out, err] = ['', '']
  const exited = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ code, signal })
    })
  })
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    err += part
  })
  return new Promise((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      out += part
      const address = LISTENS.exec(out)?.[1]
      if (address !== undefined) resolve(nodeOf(address))
    })
    void exited.then((ended) => reject(new Error(`ended before it listened (${JSON.stringify(ended)}): ${out}${err}`)))
  })

  function nodeOf(address: string): SpawnedNode {
    const kill = (signal: NodeJS.Signals): void => void child.kill(signal)
    const stop = (): Promise<Ended> => {
      kill('SIGTERM')
      return exited
    }
    return { pid: child.pid ?? 0, address, exited, out: () => out, err: () => err, kill, stop }
  }
}

/** Starts the daemon, waits for its model, runs the work and stops it, whatever happens. */
export async function withNode<T>(
  home: string,
  work: (node: SpawnedNode) => Promise<T>,
  ...args: readonly string[]
): Promise<T> {
  const node = await startNode(home, ...args)
  try {
    await ready(node)
    return await work(node)
  } finally {
    await node.stop()
  }
}

/** @throws when the program ends instead */
export async function ready(node: SpawnedNode): Promise<void> {
  let ended: Ended | undefined
  void node.exited.then((how) => {
    ended = how
  })
  for (;;) {
    const reply = await ask(`${node.address}/readyz`).catch(() => undefined)
    if (reply?.status === 200) return
    if (ended !== undefined) throw new Error(`ended before it was ready (${JSON.stringify(ended)}): ${node.err()}`)
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS))
  }
}

export type CommandRun = { readonly status: number | null; readonly out: string; readonly err: string }

/** Runs one `cfab-node` command line to its end. */
export function runNode(args: readonly string[], options: { readonly cwd?: string } = {}): Promise<CommandRun> {
  const env = plainEnvironment()
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env, ...options })
  running.add(child)
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part
  })
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    err += part
  })
  return new Promise((resolve) => {
    child.once('close', (status) => {
      running.delete(child)
      resolve({ status, out, err })
    })
  })
}

export async function getJson(url: string): Promise<unknown> {
  return parsed(await ask(url))
}

export function parsed(reply: Pick<Reply, 'body'>): unknown {
  return JSON.parse(reply.body)
}

type Listed = { readonly pid: number; readonly parent: number; readonly state: string }

/** Living child processes of a process: the daemon's compute host. */
export function childrenOf(pid: number): readonly number[] {
  return processes()
    .filter((listed) => listed.parent === pid)
    .map((listed) => listed.pid)
}

export function isAlive(pid: number): boolean {
  return processes().some((listed) => listed.pid === pid)
}

/** What still waits to be reaped has ended. */
function processes(): readonly Listed[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' })
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/))
  return rows
    .map(([pid, parent, state = 'Z']) => ({ pid: Number(pid), parent: Number(parent), state }))
    .filter(({ state }) => !state.startsWith('Z'))
}

/** Settings of the person who runs the tests must not reach the daemon. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CFAB_')))
}
