/** A swarm of real daemons in processes of their own, each with a home in a temporary folder: founded, joined by invites, killed, started again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import { type Genesis, makeGenesis } from '../../core/log/genesis.ts'
import { type Paths, pathsOf } from '../../node/paths.ts'
import { systemClock as clock, systemRandom as random } from '../../node/runtime/system.ts'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { foundedGenesis, loadKeys, saveGenesis } from '../../node/swarm/genesis.ts'
import { type Ask, ask, type Reply } from './control.ts'
import type { Machine } from './netns.ts'
import { tempFolder } from './temp-folder.ts'

export type SwarmNode = {
  readonly place: number
  readonly peer: PeerId
  readonly key: KeyPair
  readonly paths: Paths
  /** Where peers dial it. */
  readonly mesh: { readonly host: string; readonly port: number }
  /** What it has written since its last start, the end of it. */
  readonly log: () => string
  readonly pid: () => number | undefined
  /** Of its API, since its last start. */
  readonly address: () => string
  /** @returns once it listens; its model may still be loading */
  start(...more: readonly string[]): Promise<void>
  /** @returns when it has ended */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** SIGSTOP, SIGCONT: it says nothing meanwhile, and its connections stay. */
  signal(signal: NodeJS.Signals): void
  /** With the operator's key. */
  ask(path: string, options?: Ask): Promise<Reply>
  /** @throws with the answer unless it is 200 to 202 */
  json(path: string, body?: unknown): Promise<unknown>
}
export type SpawnedSwarm = {
  readonly genesis: Genesis
  readonly nodes: readonly SwarmNode[]
  readonly founder: SwarmNode
  node(place: number): SwarmNode
  /** One line for `start --join`. */
  invite(terms?: { readonly for?: PeerId; readonly credits?: string }): Promise<string>
  /** Invites it, starts it, and waits until it listens. */
  join(place: number, ...more: readonly string[]): Promise<void>
  stop(): Promise<void>
}
export type SwarmOptions = {
  readonly nodes: number
  /** The first so many validate. */
  readonly validators: number
  /** In place of loopback: node n runs on machine n. */
  readonly machines?: readonly Machine[]
  readonly policy?: Partial<Genesis['policy']>
  /** Absent: sqlite. */
  readonly log?: Genesis['log']
  /** Validators that are not started: the test plays them. */
  readonly played?: readonly number[]
  /** Places whose compute host lies, and how: lying-node.ts. */
  readonly liars?: Readonly<Record<number, string>>
  /** More flags of every daemon. */
  readonly flags?: readonly string[]
}

const LYING = fileURLToPath(new URL('./lying-node.ts', import.meta.url))
const COMMAND = fileURLToPath(new URL('../../bin/cfab-node.js', import.meta.url))
const LISTENS = /listens on (http:\/\/\S+)/
const MESH_PORT = 7734
const API_PORT = 7733
const LOOPBACK = '127.0.0.1'
const START_MS = 60_000
const LOG_CHARACTERS_MAX = 200_000
const LOG_SHOWN = 4_000
const EPOCH_MS = 30_000
/** Small, since many of them share the machine. */
const FLAGS = ['--threads', '1', '--slots', '2', '--embedding-model', 'none', '--log-level', 'info']

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Makes the homes and the genesis, and starts the founder and every further validator. The others join when they are told to. */
export async function startSwarm(options: SwarmOptions): Promise<SpawnedSwarm> {
  const homes = Array.from({ length: options.nodes }, tempFolder)
  const ports = options.machines === undefined ? await freePorts(options.nodes) : []
  const nodes = await Promise.all(
    homes.map(async (home, place) => {
      const paths = pathsOf(home, {}, home)
      const { node: key } = await loadKeys(createKeyStore(paths.keys, random), 0)
      return createNode({ place, home, paths, key, port: ports[place], machine: options.machines?.[place], options })
    }),
  )
  const genesis = await found(nodes, options)
  const swarm = swarmOf(genesis, nodes)
  try {
    await swarm.founder.start()
    const others = nodes.slice(1, options.validators).filter(({ place }) => options.played?.includes(place) !== true)
    await Promise.all(others.map(({ place }) => swarm.join(place)))
    return swarm
  } catch (error) {
    await swarm.stop()
    throw error
  }
}

/** Runs the work over a swarm and ends it, whatever happens; what the daemons wrote is shown when it fails. */
export async function withSwarm<T>(options: SwarmOptions, work: (swarm: SpawnedSwarm) => Promise<T>): Promise<T> {
  const swarm = await startSwarm(options)
  try {
    return await work(swarm)
  } catch (error) {
    for (const { place, peer, log } of swarm.nodes) console.log(`--- node ${place} ${peer}\n${log().slice(-LOG_SHOWN)}`)
    throw error
  } finally {
    await swarm.stop()
  }
}

async function found(
  nodes: readonly SwarmNode[],
  { validators, policy, log = 'sqlite' }: SwarmOptions,
): Promise<Genesis> {
  const [founder] = nodes
  if (founder === undefined) throw new Error('a swarm has a node')
  const keys = await loadKeys(createKeyStore(founder.paths.keys, random), 0)
  const others = nodes.slice(1, validators).map(({ peer }) => peer)
  const terms = { name: 'trial', region: 'main', log, validators: others, epochMs: EPOCH_MS, vestMs: 0 } as const
  const { swarmId: _id, bytes: _bytes, ...body } = foundedGenesis(terms, keys, { clock, random })
  const genesis = makeGenesis({ ...body, policy: { ...body.policy, ...policy } })
  await saveGenesis(founder.paths.genesis, genesis)
  return genesis
}

function swarmOf(genesis: Genesis, nodes: readonly SwarmNode[]): SpawnedSwarm {
  const node = (place: number): SwarmNode => {
    const found = nodes[place]
    if (found === undefined) throw new Error(`there is no node ${place}`)
    return found
  }
  const founder = node(0)
  const invite: SpawnedSwarm['invite'] = async (terms = {}) => {
    const answer = await founder.json('/api/v1/p2p/invites', { credits: '100', ...terms })
    if (typeof answer !== 'object' || answer === null || !('invite' in answer)) throw new Error('no invite')
    return String(answer.invite)
  }
  return {
    ...{ genesis, nodes, founder, node, invite },
    join: async (place, ...more) => {
      const newcomer = node(place)
      await newcomer.start('--join', await invite({ for: newcomer.peer }), ...more)
    },
    stop: async () => {
      await Promise.all(nodes.map((one) => one.kill('SIGKILL')))
    },
  }
}

type Seat = {
  readonly place: number
  readonly home: string
  readonly paths: Paths
  readonly key: KeyPair
  readonly port: number | undefined
  readonly machine: Machine | undefined
  readonly options: SwarmOptions
}

function createNode({ place, home, paths, key, port, machine, options }: Seat): SwarmNode {
  let child: ChildProcess | undefined
  let [log, address] = ['', '']
  const mesh = { host: machine?.address ?? LOOPBACK, port: port ?? MESH_PORT }
  const listening =
    machine === undefined
      ? ['--host', LOOPBACK, '--port', '0', '--mesh-host', LOOPBACK, '--mesh-port', String(mesh.port)]
      : ['--host', machine.managed, '--port', String(API_PORT), '--mesh-host', mesh.host]
  const nat = machine?.behindNat === true ? ['--behind-nat'] : []
  const reach = machine?.behindNat === true ? listening.slice(0, 4) : listening
  const asking = async (path: string, given: Ask = {}): Promise<Reply> => {
    const bearer = `Bearer ${readFileSync(paths.adminKey, 'utf8').trim()}`
    return ask(`${address}${path}`, { ...given, headers: { authorization: bearer, ...given.headers } })
  }
  return {
    ...{
      place,
      peer: key.peer,
      key,
      paths,
      mesh,
      log: () => log,
      pid: () => child?.pid,
      address: () => address,
      ask: asking,
    },
    start: async (...more) => {
      const flags = [...FLAGS, ...reach, ...nat, ...(options.flags ?? []), ...more]
      const [command = '', ...words] = [...(machine?.enter ?? []), process.execPath]
      const lie = options.liars?.[place]
      const program = lie === undefined ? [COMMAND] : [LYING, lie]
      child = spawn(command, [...words, ...program, 'start', '--home', home, ...flags], { env: environment() })
      log = ''
      address = await listens(child, (part) => {
        log = (log + part).slice(-LOG_CHARACTERS_MAX)
        return log
      })
    },
    kill: async (signal = 'SIGKILL') => {
      const ending = child
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
      const closed = once(ending, 'exit')
      ending.kill('SIGCONT')
      ending.kill(signal)
      await closed
    },
    signal: (signal) => void child?.kill(signal),
    json: async (path, body) => {
      const reply = await asking(path, body === undefined ? {} : posted(body))
      if (reply.status < 200 || reply.status > 202) throw new Error(`${path}: ${reply.status} ${reply.body}`)
      return JSON.parse(reply.body)
    },
  }
}

/** @returns where its API listens. @throws with what it wrote when it ends instead */
function listens(child: ChildProcess, write: (part: string) => string): Promise<string> {
  running.add(child)
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it does not listen: ${write('')}`)), START_MS)
    const hear = (part: string): void => {
      const address = LISTENS.exec(write(part))?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    }
    child.stdout?.setEncoding('utf8').on('data', hear)
    child.stderr?.setEncoding('utf8').on('data', hear)
    child.once('close', (code, signal) => {
      running.delete(child)
      clearTimeout(timer)
      reject(new Error(`ended before it listened (${code ?? signal}): ${write('')}`))
    })
  })
}

function posted(body: unknown): Ask {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

/** Settings of the person who runs the tests must not reach the daemons. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CFAB_')))
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, LOOPBACK))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
