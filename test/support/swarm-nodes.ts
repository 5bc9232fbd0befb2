/** Real daemons of one swarm on loopback, each in a home of its own, begun and grown as a person would: found, invite, start --join. */
import { join } from 'node:path'
import { textAt } from '../../node/commands/json.ts'
import { getJson, ready, runNode, type SpawnedNode, startNode } from './spawned-node.ts'

export type SwarmNode = SpawnedNode & { readonly home: string; readonly port: string }

/** Small, and heard by this machine only. */
const QUIET = [
  '--mesh-host',
  '127.0.0.1',
  '--mesh-port',
  '0',
  '--threads',
  '1',
  '--slots',
  '2',
  '--embedding-model',
  'none',
]
const POLL_MS = 50

export async function founded(home: string, ...flags: readonly string[]): Promise<void> {
  await command('found', 'test', '--home', home, ...flags)
}

export async function startMember(home: string, ...flags: readonly string[]): Promise<SwarmNode> {
  const node = await startNode(home, ...QUIET, ...flags)
  return { ...node, home, port: new URL(node.address).port }
}

/** One line for a newcomer. */
export async function inviteFrom({ home, port }: SwarmNode, ...flags: readonly string[]): Promise<string> {
  return (await command('invite', '--home', home, '--port', port, ...flags)).trim()
}

/** The first node, which founded the swarm, and `count` more that came by an invite each; all of them with their model loaded. */
export async function swarmOf(
  folder: string,
  count: number,
  ...flags: readonly string[]
): Promise<readonly SwarmNode[]> {
  const first = join(folder, 'node-0')
  await founded(first, '--epoch', '2s')
  const nodes = [await startMember(first, ...flags)]
  try {
    for (let place = 1; place <= count; place += 1) {
      const invite = await inviteFrom(nodes[0] as SwarmNode)
      nodes.push(await startMember(join(folder, `node-${place}`), '--join', invite, ...flags))
    }
    await Promise.all(nodes.map(ready))
    return nodes
  } catch (error) {
    await stopAll(nodes)
    throw error
  }
}

export async function stopAll(nodes: readonly SwarmNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.stop()))
}

/** Waits for something to be true of what a node says. @throws when the test's own time is up */
export async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
}

export async function nodeId({ address }: SwarmNode): Promise<string> {
  return textAt(await getJson(`${address}/api/v1/status`), 'node')
}

async function command(...args: readonly string[]): Promise<string> {
  const { status, out, err } = await runNode(args)
  if (status !== 0) throw new Error(`cfab-node ${args.join(' ')}: ${err}`)
  return out
}
