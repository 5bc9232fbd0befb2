/** Three daemons, one invite each: they see each other, run each other's jobs, and tell the same story of them. */
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { askJson } from '../support/control.ts'
import { getJson, parsed, runNode, startNode } from '../support/spawned-node.ts'
import { nodeId, type SwarmNode, startMember, stopAll, swarmOf, until } from '../support/swarm-nodes.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const JOIN_MS = 5_000
const NODES = 3
const test = suite<{ folder: string; nodes: readonly SwarmNode[]; joinedMs: number }>('swarm')

test.before(async (context) => {
  context.folder = tempFolder()
  context.nodes = await swarmOf(context.folder, NODES - 1)
  context.joinedMs = Date.now()
})
test.after(async ({ nodes }) => stopAll(nodes ?? []))

const peersOf = async ({ address }: SwarmNode): Promise<readonly unknown[]> =>
  listAt(await getJson(`${address}/api/v1/p2p/peers`), 'items')
const eligible = (peers: readonly unknown[]): number =>
  peers.filter((peer) => member(peer, 'ineligible') === null).length

test('everybody is seen alive by everybody soon after joining', (context) =>
  within(JOIN_MS, async () => {
    for (const node of context.nodes)
      await until(
        async () => (await peersOf(node)).filter((peer) => textAt(peer, 'state') === 'alive').length === NODES,
      )
  })())

test('newcomers are in the next roster; the only validator votes and does not work', (context) =>
  within(20_000, async () => {
    for (const node of context.nodes) await until(async () => eligible(await peersOf(node)) === NODES - 1)
    const [first] = context.nodes
    assert.ok(first !== undefined)
    for (const peer of await peersOf(first)) {
      assert.ok(listAt(peer, 'models').includes('cfab-tiny'), 'a record names its models')
      assert.ok(Number(textAt(peer, 'weight')) > 0)
    }
  })())

test('a job from any node runs on another one, and every node explains it in the same way', (context) =>
  within(60_000, async () => {
    const { nodes, folder } = context
    for (const edge of nodes) {
      const body = { model: 'cfab-tiny', max_tokens: 12, messages: [{ role: 'user', content: 'Once upon a time' }] }
      const answer = parsed(await askJson(`${edge.address}/v1/chat/completions`, body))
      const id = textAt(answer, 'cfab', 'receipt_id')
      await until(async () => textAt(await getJson(`${edge.address}/api/v1/p2p/jobs/${id}`), 'phase') === 'settled')
      const explained = await Promise.all(nodes.map((node) => explanation(node, id)))
      for (const draw of explained) {
        assert.is(member(draw, 'matches'), true)
        assert.equal(workersOf(draw), workersOf(explained[0]))
        assert.is(textAt(draw, 'beacon'), textAt(explained[0], 'beacon'))
      }
      assert.not(workersOf(explained[0]).includes(await nodeId(edge)), 'who asks does not answer')
      await checkFiles(edge, id, folder, nodes)
    }
  })())

/** Asked until the entry has come to the node. */
async function explanation(node: SwarmNode, id: string): Promise<unknown> {
  let draw: unknown
  await until(async () => {
    draw = await getJson(`${node.address}/api/v1/p2p/jobs/${id}/explain`)
    return workersOf(draw).length > 0
  })
  return draw
}

const workersOf = (draw: unknown): readonly string[] =>
  listAt(draw, 'ranked')
    .filter((row) => member(row, 'chosen') !== null)
    .map((row) => textAt(row, 'peer'))

/** The receipt verifies offline, and a roster that another node saved gives the same draw. */
async function checkFiles(edge: SwarmNode, id: string, folder: string, nodes: readonly SwarmNode[]): Promise<void> {
  const other = nodes.find((node) => node !== edge)
  assert.ok(other !== undefined)
  const epoch = textAt(await getJson(`${edge.address}/api/v1/p2p/jobs/${id}/explain`), 'epoch')
  const file = join(folder, `roster-${id}`)
  const saved = await runNode(['roster', file, '--epoch', epoch, '--home', other.home, '--port', other.port])
  assert.is(saved.status, 0, saved.err)
  const explained = await runNode(['job', 'explain', id, '--roster', file, '--home', edge.home, '--port', edge.port])
  assert.match(explained.out, /agrees on all 2 peers/)
  assert.is(explained.status, 0, explained.err)
  const { swarm } = (await getJson(`${edge.address}/api/v1/status`)) as { swarm: string }
  const receipt = join(folder, `${id}.receipt`)
  const watched = await runNode(['job', 'watch', id, '-o', receipt, '--home', edge.home, '--port', edge.port])
  assert.is(watched.status, 0, watched.err)
  const verified = await runNode(['receipt', 'verify', receipt, '--root', swarm])
  assert.is(verified.out.trim().split('\n')[0], 'valid', verified.err)
}

test('the books sum to zero and are the same everywhere', (context) =>
  within(20_000, async () => {
    const audits = await Promise.all(
      context.nodes.map(({ home, port }) => runNode(['credits', 'audit', '--home', home, '--port', port])),
    )
    for (const { status, out, err } of audits) {
      assert.is(status, 0, err)
      assert.match(out, /zero sum\s+yes/)
    }
  })())

test('a node that stops and starts again is back within 5 s, with no invite', (context) =>
  within(30_000, async () => {
    const [first, , last] = context.nodes
    assert.ok(first !== undefined && last !== undefined)
    const id = await nodeId(last)
    const stateOfLast = async (): Promise<string> =>
      textAt(
        (await peersOf(first)).find((peer) => textAt(peer, 'id') === id),
        'state',
      )
    await last.stop()
    await until(async () => (await stateOfLast()) === 'left')
    const again = await startMember(last.home)
    context.nodes = [...context.nodes.slice(0, -1), again]
    await within(5_000, () => until(async () => (await stateOfLast()) === 'alive'))()
    assert.is(await nodeId(again), id)
  })())

test('an invite lets one machine in, and a home belongs to one swarm', (context) =>
  within(30_000, async () => {
    const [first] = context.nodes
    assert.ok(first !== undefined)
    const spent = (await runNode(['invite', '--home', first.home, '--port', first.port])).out.trim()
    const newcomer = await startMember(join(context.folder, 'once'), '--join', spent)
    await newcomer.stop()
    const refused = await startNode(join(context.folder, 'twice'), '--join', spent, '--mesh-port', '0').catch(String)
    assert.match(String(refused), /CF_MESH_INVITE_REFUSED.*invite_spent/s)
    const local = join(context.folder, 'local')
    await (await startNode(local, '--embedding-model', 'none')).stop()
    const taken = await startNode(local, '--join', spent, '--mesh-port', '0').catch(String)
    assert.match(String(taken), /CF_CONFIG_HOME_TAKEN/)
  })())

test.run()
