/** A real daemon under attack over its mesh port, by strangers and by a member with a real key, while it answers its own user. */
import { readFileSync } from 'node:fs'
import type { ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type KeyPair, keyPairFromSeed } from '../../core/identity/keys.ts'
import { systemRandom } from '../../node/runtime/system.ts'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { parseTicket } from '../../node/swarm/ticket.ts'
import { shoot } from '../fuzz/frames.ts'
import { askJson } from '../support/control.ts'
import { answerOf, rawRequest, rawSession, rawTcp } from '../support/mesh-raw.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { ready } from '../support/spawned-node.ts'
import { founded, inviteFrom, type SwarmNode, startMember, stopAll, until } from '../support/swarm-nodes.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const MIB = 1_048_576
const GROWTH_MIB_MAX = 128
const SHOTS = 10_000
const SHOTS_AT_ONCE = 100
const TYPES = [
  'swim/ping',
  'swim/sync',
  'log/append',
  'log/tail',
  'vote/assignment',
  'swarm/join',
  'roster/get',
  'none',
]
const random = seededRandom(testSeed())

type Attacked = {
  readonly nodes: readonly SwarmNode[]
  /** Who is attacked. */
  readonly node: SwarmNode
  readonly port: number
  /** Of a member that has gone bad. */
  readonly member: KeyPair
  readonly beforeMiB: number
}
const test = suite<Attacked>('mesh attack')

test.before(async (context) => {
  const folder = tempFolder()
  const home = (name: string): string => join(folder, name)
  await founded(home('node'), '--epoch', '2s')
  const node = await startMember(home('node'))
  const invite = await inviteFrom(node)
  const bad = await startMember(home('bad'), '--join', invite)
  const worker = await startMember(home('worker'), '--join', await inviteFrom(node))
  await Promise.all([node, bad, worker].map(ready))
  await bad.stop()
  const member = await createKeyStore(join(home('bad'), 'data', 'keys'), systemRandom).load('node')
  const port = Number(parseTicket(invite).addresses[0]?.split(':')[1])
  await until(() => answers(node))
  Object.assign(context, { nodes: [node, worker], node, port, member, beforeMiB: rssMiB(node) })
})
test.after(async ({ nodes }) => stopAll(nodes ?? []))

function rssMiB({ pid }: SwarmNode): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024
}

async function answers({ address }: SwarmNode): Promise<boolean> {
  const body = { model: 'cfab-tiny', max_tokens: 4, messages: [{ role: 'user', content: 'Hello!' }] }
  return (await askJson(`${address}/v1/chat/completions`, body)).status === 200
}

function assertFlat(node: SwarmNode, beforeMiB: number): void {
  const grown = rssMiB(node) - beforeMiB
  assert.ok(grown < GROWTH_MIB_MAX, `memory grew by ${grown} MiB`)
}

test('a member that sends 100 MB is refused, and the next job is answered', ({ node, port, member, beforeMiB }) =>
  within(30_000, async () => {
    const session = await rawSession(port, member)
    const announced = rawRequest(session, '/mesh/v1/call/swim/ping', { 'content-length': 100 * MIB })
    assert.is((await answerOf(announced)).headers['cfab-reason'], 'body_too_large')
    const stream = rawRequest(session, '/mesh/v1/stream/log/tail')
    stream.resume()
    const piece = Buffer.alloc(MIB, 0x41)
    for (let count = 0; count < 100 && !stream.destroyed; count += 1)
      await new Promise<void>((resolve) => {
        stream.once('close', resolve)
        stream.write(piece, () => resolve())
      })
    assert.ok(stream.destroyed, 'it is cut off')
    session.destroy()
    assert.ok(await answers(node))
    assertFlat(node, beforeMiB)
  })())

test('1,000 half-open connections do not keep the node from answering', ({ node, port, beforeMiB }) =>
  within(30_000, async () => {
    const sockets: Socket[] = []
    for (let count = 0; count < 1_000; count += 100) {
      sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => rawTcp(port)))))
      if (count % 500 === 0) assert.ok(await answers(node))
    }
    assertFlat(node, beforeMiB)
    for (const socket of sockets) socket.destroy()
  })())

test('10,000 broken frames of strangers and of a member: a reason each, and jobs go on', ({
  node,
  port,
  member,
  beforeMiB,
}) =>
  within(90_000, async () => {
    const reasons = new Map<string, number>()
    for (let shots = 0, visit = 0; shots < SHOTS; visit += 1) {
      const session = await visitAs(port, visit % 4 === 0 ? member : strangerKey())
      if (session === undefined) continue
      const types = Array.from({ length: SHOTS_AT_ONCE }, () => TYPES[random.below(TYPES.length)] ?? 'none')
      for (const { headers, status } of await Promise.all(types.map((type) => shoot(session, type, random)))) {
        const reason = String(headers['cfab-reason'] ?? headers['cfab-code'] ?? status)
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      }
      session.destroy()
      shots += SHOTS_AT_ONCE
      if (shots % 2_000 === 0) assert.ok(await answers(node))
    }
    for (const reason of ['stranger', 'rate']) assert.ok(reasons.has(reason), JSON.stringify([...reasons]))
    assert.ok(await answers(node))
    assertFlat(node, beforeMiB)
  })())

function strangerKey(): KeyPair {
  return keyPairFromSeed(random.bytes(32))
}

/** @returns undefined after a while when the node lets nobody of this address in just now */
async function visitAs(port: number, key: KeyPair): Promise<ClientHttp2Session | undefined> {
  const session = await rawSession(port, key).catch(() => undefined)
  if (session === undefined) await new Promise((resolve) => setTimeout(resolve, 100))
  return session
}

test.run()
