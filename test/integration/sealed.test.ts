/** Words between the roles of a swarm: what goes over its links shows none of them, and opens for nobody but its receiver. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsToBytes, toHex, utf8 } from '../../core/codec/bytes.ts'
import { type Digest, type JobId, type PeerId, userAccount } from '../../core/ids.ts'
import { openMessage, sealedMessageCodec } from '../../core/job/sealed-message.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { failureOf } from '../support/error-code.ts'
import { FAKE_DIGEST } from '../support/fake-backend.ts'
import { type Frame, tapped } from '../support/frames-tap.ts'
import { EDGE, expectAccepted, JOINED, secretOf } from '../support/job-run.ts'
import { heardBy, JobSwarm } from '../support/job-swarm.ts'
import { ALICE, applied } from '../support/log-swarm.ts'
import { missing } from '../support/missing.ts'
import { digestNamed, memberNamed } from '../support/people.ts'
import { SEED_NONCE, sharedSeeds } from '../support/seeds.ts'
import { within } from '../support/within.ts'

const TABLE: PolicyTable = {
  model: FAKE_DIGEST as Digest,
  engine: 'fake',
  rows: [
    {
      ...{ prover: ANY_CLASS, verifier: ANY_CLASS, temperature: 1, honestAudits: 3_000, honestTokens: 300_000 },
      ...{ suspectMicro: [9, 9, 9, 9], failMicro: [10, 10, 10, 10], worstMicro: 100_000 },
    },
  ],
}
const MEMBERS = [
  ...['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', ...JOINED].map((name, block) => memberNamed(name, { block })),
  ...[0, 1, 2, 3].map((place) => memberNamed(`v${place}`, { block: 100 + place, roles: ROLE.validator })),
  memberNamed('edge', { block: 200, roles: ROLE.edge }),
]
/** Every message that carries words. */
const KINDS = [
  ...['job/execute', 'job/reveal', 'audit/ask', 'audit/show', 'dispute/referee'],
  ...['vote/findings', 'vote/settlement', 'vote/correction'],
]

type Scene = {
  readonly swarm: JobSwarm
  readonly frames: readonly Frame[]
  readonly transports: ReadonlyMap<PeerId, PeerTransport>
}

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  const frames: Frame[] = []
  const transports = new Map<PeerId, PeerTransport>()
  const tap = (transport: PeerTransport): PeerTransport => {
    transports.set(transport.self, transport)
    return tapped(transport, (frame) => void frames.push(frame))
  }
  const policy = { answerMs: 2_000, jobMs: 60_000 }
  const swarm = await JobSwarm.start({ members: MEMBERS, table: TABLE, policy, tap })
  try {
    await work({ swarm, frames, transports })
    assert.equal(swarm.bugs, [])
  } finally {
    swarm.stop()
  }
}

async function paid({ swarm }: Scene, replicas: number) {
  const { id, feed } = await swarm.submit({ replicas, verify: 'before' }, sharedSeeds(replicas))
  const heard = await heardBy(feed.listen(AbortSignal.timeout(20_000)))
  assert.is(heard.outcome.reason, 'paid')
  return { id, ...heard }
}

/** Opens a dispute and waits for its end. */
async function ruled({ swarm }: Scene, id: JobId): Promise<void> {
  const desk = swarm.newDesk()
  swarm.log.nowMs = BigInt(swarm.clock.nowMs())
  applied(swarm.log.apply('mint', swarm.log.mint(userAccount(ALICE.peer), 1_000_000_000n, 'bond of the user')))
  await desk.open(swarm.log.job(id), 0, 'reject', ALICE)
  for (;;) {
    await desk.tick(AbortSignal.timeout(10_000))
    if (swarm.log.job(id).disputes[0]?.outcome !== null) return
    await systemClock.sleep(20)
  }
}

test(
  'no word, token or seed of a job is in any frame of it: order, answer, reveal, votes, audit and dispute',
  within(30_000, async () => {
    await withScene(async (scene) => {
      const { id, text, ids } = await paid(scene, 2)
      await ruled(scene, id)
      const { frames } = scene
      const kinds = new Set(frames.map(({ type }) => type))
      for (const kind of KINDS) assert.ok(kinds.has(kind), `${kind} was sent`)
      const [secretText, secretIds] = [text.slice(0, 12), idsToBytes(ids.slice(0, 4))]
      assert.ok(secretText.length === 12 && secretIds.length === 16, 'there is an answer')
      const secrets = { prompt: utf8('hello'), seed: SEED_NONCE, text: utf8(secretText), ids: secretIds }
      for (const { type, bytes } of frames)
        for (const [name, secret] of Object.entries(secrets))
          assert.not.ok(toHex(bytes).includes(toHex(secret)), `${type} shows the ${name}`)
      const order = frames.find(({ type }) => type === 'job/execute') ?? missing('an order')
      const about = { swarmId: scene.swarm.log.state.swarmId, kind: 'job/execute', from: EDGE.peer }
      const { body } = expectAccepted(openMessage(secretOf(order.to), about, order.bytes))
      assert.ok(toHex(body).includes(toHex(secrets.prompt)), 'its receiver reads the prompt')
      assert.ok(toHex(body).includes(toHex(secrets.seed)), 'and the seed')
    })
  }),
)

test(
  'an order is refused by another worker, from another peer and under another job, and nobody works on it',
  within(20_000, async () => {
    await withScene(async (scene) => {
      await paid(scene, 1)
      const { frames, transports } = scene
      const order = frames.find(({ type }) => type === 'job/execute') ?? missing('an order')
      const other =
        MEMBERS.find(({ peer, roles }) => roles !== ROLE.validator && peer !== order.to) ?? missing('another')
      const { box } = expectAccepted(sealedMessageCodec.decode(order.bytes))
      const renamed = sealedMessageCodec.encode({ jobId: digestNamed('another job'), box })
      const cases: readonly (readonly [name: string, from: PeerId, to: PeerId, bytes: Uint8Array])[] = [
        ['another worker', EDGE.peer, other.peer, order.bytes],
        ['another sender', other.peer, order.to, order.bytes],
        ['another job', EDGE.peer, order.to, renamed],
        ['no box', EDGE.peer, order.to, new Uint8Array()],
      ]
      for (const [name, from, to, bytes] of cases) {
        const transport = transports.get(from) ?? missing('a transport')
        const stream = await transport.openStream(to, 'job/execute', bytes, { deadlineMs: 2_000 })
        const { code, detail } = await failureOf(stream[Symbol.asyncIterator]().next())
        assert.equal([code, detail['code']], ['CF_MESH_REFUSED', 'CF_IDENTITY_BOX_INVALID'], name)
      }
    })
  }),
)

test.run()
