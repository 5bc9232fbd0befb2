/**
 * A cluster of etcd members on loopback for tests: data in a temporary folder, ports that were free, every member ended with the
 * process that started it at the latest. Members can be killed, paused and started again.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { request } from 'undici'
import { tempFolder } from './temp-folder.ts'

export type EtcdMember = {
  readonly name: string
  /** `http://127.0.0.1:<port>` */
  readonly endpoint: string
  /** Signals the process and waits for its end; nothing happens to one that does not run. */
  kill(signal?: NodeJS.Signals): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** Starts it again on its data, or for the first time. */
  start(): void
  id(): Promise<string>
}
export type EtcdCluster = {
  readonly members: readonly EtcdMember[]
  readonly endpoints: readonly string[]
  /** The member that leads, once there is one. */
  leader(): Promise<EtcdMember>
  stop(): Promise<void>
}

const READY_MS = 30_000
const POLL_MS = 50
const ASK_MS = 1_000
const LOG_CHARACTERS_MAX = 20_000
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Says why tests of etcd are left out here; undefined where they run. In CI they always run, and fail where etcd is missing. */
export function withoutEtcd(): string | undefined {
  const missing = spawnSync('etcd', ['--version']).status !== 0
  return missing && process.env['CI'] === undefined ? 'etcd is not installed (Debian: etcd-server)' : undefined
}

/** @returns once the cluster has a leader; throws with the members' last words when it gets none */
export async function startEtcd(memberCount = 3): Promise<EtcdCluster> {
  const ports = await freePorts(memberCount * 2)
  const folder = tempFolder()
  const names = Array.from({ length: memberCount }, (_, place) => `m${place}`)
  const peerUrl = (place: number): string => `http://127.0.0.1:${ports[memberCount + place]}`
  const initial = names.map((name, place) => `${name}=${peerUrl(place)}`).join(',')
  const members = names.map((name, place) =>
    memberOf(name, `http://127.0.0.1:${ports[place]}`, [
      ...['--data-dir', join(folder, name), '--listen-peer-urls', peerUrl(place)],
      ...['--initial-advertise-peer-urls', peerUrl(place), '--initial-cluster', initial],
      ...['--initial-cluster-token', folder, '--initial-cluster-state', 'new'],
    ]),
  )
  for (const member of members) member.start()
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.kill('SIGKILL')))
  }
  const cluster = { members, endpoints: members.map(({ endpoint }) => endpoint), leader: () => leaderOf(members), stop }
  try {
    await cluster.leader()
    return cluster
  } catch (error) {
    await stop()
    throw new Error(members.map((member) => member.log()).join('\n'), { cause: error })
  }
}

function memberOf(name: string, endpoint: string, options: readonly string[]): EtcdMember & { log(): string } {
  let child: ChildProcess | undefined
  let log = ''
  const listening = ['--name', name, '--listen-client-urls', endpoint, '--advertise-client-urls', endpoint]
  return {
    name,
    endpoint,
    log: () => log,
    start() {
      const started = spawn('etcd', [...listening, ...options, '--logger', 'zap', '--log-level', 'error'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      child = started
      running.add(started)
      started.once('exit', () => running.delete(started))
      started.once('error', (error) => {
        log += error.message
      })
      started.stderr.setEncoding('utf8').on('data', (part: string) => {
        log = (log + part).slice(-LOG_CHARACTERS_MAX)
      })
    },
    async kill(signal = 'SIGKILL') {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill(signal)
      await ended
    },
    signal: (signal) => void child?.kill(signal),
    id: async () => (await statusOf(endpoint)).member,
  }
}

async function leaderOf(members: readonly EtcdMember[]): Promise<EtcdMember> {
  for (const untilMs = performance.now() + READY_MS; performance.now() < untilMs; ) {
    for (const member of members) {
      const status = await statusOf(member.endpoint).catch(() => undefined)
      if (status !== undefined && status.leader === status.member) return member
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new Error(`no etcd member leads after ${READY_MS} ms`)
}

async function statusOf(endpoint: string): Promise<{ readonly member: string; readonly leader: string }> {
  const { body } = await request(`${endpoint}/v3/maintenance/status`, {
    method: 'POST',
    body: '{}',
    signal: AbortSignal.timeout(ASK_MS),
  })
  return parseStatus(await body.json())
}

function parseStatus(value: unknown): { readonly member: string; readonly leader: string } {
  const status = value as { readonly leader?: string; readonly header?: { readonly member_id?: string } }
  return { member: status.header?.member_id ?? '?', leader: status.leader ?? '' }
}

/** Ports that were free a moment ago, all different. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
