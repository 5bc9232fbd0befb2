/** Who is let into a swarm of real daemons, and who is not. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, textAt } from '../../node/commands/json.ts'
import { parseTicket, type Ticket, ticketText } from '../../node/swarm/ticket.ts'
import { getJson, runNode } from '../support/spawned-node.ts'
import { founded, inviteFrom, nodeId, type SwarmNode, startMember, stopAll, until } from '../support/swarm-nodes.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const REFUSED_MS = 30_000
const test = suite<{ folder: string; open: SwarmNode; shut: SwarmNode }>('invites')

test.before(async (context) => {
  context.folder = tempFolder()
  const [open, shut] = [join(context.folder, 'open'), join(context.folder, 'shut')]
  await Promise.all([founded(open), founded(shut, '--private')])
  context.open = await startMember(open)
  context.shut = await startMember(shut)
})
test.after(async ({ open, shut }) => stopAll([open, shut].filter((node) => node !== undefined)))

type Refusal = { readonly status: number | null; readonly err: string }

/** Tries to join from a home of its own. @returns how the program ended, which it must */
async function tryToJoin(home: string, invite: string): Promise<Refusal> {
  const small = ['--threads', '1', '--embedding-model', 'none', '--mesh-host', '127.0.0.1', '--mesh-port', '0']
  return runNode(['start', '--home', home, '--port', '0', ...small, '--join', invite])
}

async function assertRefused(home: string, invite: string, code: string, reason: string): Promise<void> {
  const { status, err } = await tryToJoin(home, invite)
  assert.match(err, code)
  assert.match(err, reason)
  assert.not.equal(status, 0)
  for (const file of ['genesis', 'swarm.key']) assert.not(existsSync(join(home, 'data', file)), `no ${file} stays`)
}

const changed = (invite: string, change: Partial<Ticket>): string => ticketText({ ...parseTicket(invite), ...change })

test('a line that was cut, mistyped or made up is no invite', ({ folder, open }) =>
  within(REFUSED_MS, async () => {
    const invite = await inviteFrom(open)
    const middle = Math.floor(invite.length / 2)
    const other = invite[middle] === 'A' ? 'B' : 'A'
    const mistyped = invite.slice(0, middle) + other + invite.slice(middle + 1)
    const [typed] = await Promise.all([
      tryToJoin(join(folder, 'mistyped'), mistyped),
      assertRefused(join(folder, 'cut'), invite.slice(0, -3), 'CF_MESH_INVITE_INVALID', 'damaged'),
      assertRefused(join(folder, 'made-up'), 'hello', 'CF_CONFIG_INVALID', 'an invite'),
    ])
    assert.not.equal(typed.status, 0)
  })())

test('an expired invite, and one that is bound to another peer, are refused by the log', ({ folder, open }) =>
  within(REFUSED_MS, async () => {
    const short = await inviteFrom(open, '--expires', '1s')
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    const bound = await inviteFrom(open, '--for', await nodeId(open))
    await Promise.all([
      assertRefused(join(folder, 'late'), short, 'CF_MESH_INVITE_REFUSED', 'invite_expired'),
      assertRefused(join(folder, 'other'), bound, 'CF_MESH_INVITE_REFUSED', 'authority_missing'),
    ])
  })())

test('an invite lets one peer in: again the same one, after a restart too, and nobody else', ({ folder, open }) =>
  within(60_000, async () => {
    const invite = await inviteFrom(open)
    const home = join(folder, 'first')
    const first = await startMember(home, '--join', invite)
    const id = await nodeId(first)
    await first.stop()
    // As somebody does who repeats the last command.
    const again = await startMember(home, '--join', invite)
    assert.is(await nodeId(again), id)
    await until(async () => (await peerStates(open)).get(id) === 'alive')
    await again.stop()
    await assertRefused(join(folder, 'second'), invite, 'CF_MESH_INVITE_REFUSED', 'invite_spent')
  })())

async function peerStates({ address }: SwarmNode): Promise<ReadonlyMap<string, string>> {
  const items = listAt(await getJson(`${address}/api/v1/p2p/peers`), 'items')
  return new Map(items.map((peer) => [textAt(peer, 'id'), textAt(peer, 'state')]))
}

test('a private swarm lets in who has its key: a wrong, a short and no key fail closed', ({ folder, shut }) =>
  within(60_000, async () => {
    const invite = await inviteFrom(shut)
    const { swarmKey } = parseTicket(invite)
    assert.is(swarmKey.length, 32)
    const keys = [swarmKey.map((byte) => byte ^ 1), new Uint8Array(), swarmKey.slice(0, 16)]
    const [wrong = '', none = '', short = ''] = keys.map((key) => changed(invite, { swarmKey: key }))
    await Promise.all([
      assertRefused(join(folder, 'wrong'), wrong, 'CF_MESH_REFUSED', 'swarm_key'),
      assertRefused(join(folder, 'none'), none, 'CF_MESH_REFUSED', 'swarm_key'),
      assertRefused(join(folder, 'short'), short, 'CF_CONFIG_INVALID', 'swarm key'),
    ])
    const inside = await startMember(join(folder, 'inside'), '--join', invite)
    const id = await nodeId(inside)
    await until(async () => (await peerStates(shut)).get(id) === 'alive')
    await inside.stop()
  })())

test('an invite to one swarm is of no use at another one’s door, or for a home that belongs elsewhere', ({
  folder,
  open,
  shut,
}) =>
  within(REFUSED_MS, async () => {
    const [toOpen, toShut] = [await inviteFrom(open), await inviteFrom(shut)]
    const { swarm } = parseTicket(toShut)
    await assertRefused(join(folder, 'astray'), changed(toOpen, { swarm }), 'CF_MESH_INVITE_INVALID', 'another_swarm')
    const member = join(folder, 'member')
    const joined = await startMember(member, '--join', toOpen)
    await joined.stop()
    const { status, err } = await tryToJoin(member, toShut)
    assert.match(err, 'CF_CONFIG_HOME_TAKEN')
    assert.not.equal(status, 0)
    const founding = await runNode(['found', 'again', '--home', member, '--json'])
    assert.match(founding.out + founding.err, 'CF_CONFIG_HOME_TAKEN')
  })())

test.run()
