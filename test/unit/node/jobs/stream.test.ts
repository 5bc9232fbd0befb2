/** A worker's chunk writer and a coordinator's reader, joined by a stream of the in-process mesh. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsFromBytes, idsToBytes } from '../../../../core/codec/bytes.ts'
import { encodeEnvelope, openAs, seal } from '../../../../core/identity/envelope.ts'
import { steerFrameCodec, workFrameCodec } from '../../../../core/job/proposal.ts'
import { type ChainStart, type Chunk, chunkCodec } from '../../../../core/latency/chain.ts'
import { NOTHING_SHOWN } from '../../../../core/latency/links.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { ChunkWriter, type ClosedChain } from '../../../../node/jobs/chunk-writer.ts'
import { claimOf } from '../../../../node/jobs/claim.ts'
import { frame } from '../../../../node/jobs/frames.ts'
import { readReplica } from '../../../../node/jobs/reader.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerStream } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { codeOf, failureOf } from '../../../support/error-code.ts'
import { expectAccepted } from '../../../support/job-run.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const [WORKER, EDGE] = [keyNamed('w0'), keyNamed('edge')]
const SWARM = swarmNamed('swarm')
const JOB = jobNamed('job')
const NONCE = new Uint8Array(16).fill(7)
const START: ChainStart = {
  swarmId: SWARM,
  jobId: JOB,
  attempt: 0,
  replica: 1,
  worker: WORKER.peer,
  receiver: EDGE.peer,
  nonce: NONCE,
}
const NOTHING = new Uint8Array()

type Work = (writer: ChunkWriter, stream: PeerStream) => Promise<void>
/** Changes, drops (empty list) or adds frames on their way to the reader. */
type Tamper = (frame: Uint8Array, index: number) => readonly Uint8Array[]

type Trial = {
  readonly tamper?: Tamper
  readonly tokenCountMax?: number
  readonly streams?: boolean
  readonly acked?: boolean
}

/** Runs a worker's side against the reader. */
async function read(
  work: Work,
  { tamper = (bytes) => [bytes], tokenCountMax = 10_000, streams = true, acked = true }: Trial = {},
) {
  const network = createMemoryNetwork(
    {},
    { clock: systemClock, random: systemRandom, onBug: (error) => assert.unreachable(String(error)) },
  )
  const [there, here] = [network.endpoint(WORKER.peer), network.endpoint(EDGE.peer)]
  let index = 0
  there.onStream('work', async (_from, _body, stream, signal) => {
    const tampered: PeerStream = {
      send: async (bytes) => {
        const at = index
        index += 1
        for (const other of tamper(bytes, at)) await stream.send(other)
      },
      end: () => stream.end(),
      destroy: () => stream.destroy(),
      [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    }
    const ports = {
      key: WORKER,
      clock: systemClock,
      swarmId: SWARM,
      receiver: EDGE.peer,
      jobId: JOB,
      attempt: 0,
      replica: 1,
      nonce: NONCE,
      signal,
    }
    const writer = new ChunkWriter(ports, tampered)
    const steering = (async () => {
      for await (const bytes of stream)
        if (acked) writer.acknowledged(expectAccepted(steerFrameCodec.decode(bytes)).envelope)
    })().catch(() => undefined)
    await work(writer, tampered)
    stream.end()
    await steering
  })
  const texts: string[] = []
  const heard: number[] = []
  const stream = await here.openStream(WORKER.peer, 'work', NOTHING, { deadlineMs: 3_000 })
  try {
    const result = await readReplica(
      stream,
      START,
      { key: EDGE, clock: systemClock, random: systemRandom, tokenCountMax, streams, details: true },
      ({ ids, text }) => {
        heard.push(...ids)
        texts.push(text)
      },
    )
    stream.end()
    return { result, text: texts.join(''), heard, frames: index }
  } catch (error) {
    stream.destroy()
    throw error
  }
}

function commitmentOf(
  writer: Pick<ChunkWriter, 'ids' | 'text'>,
  chain: Parameters<typeof claimOf>[0]['chain'],
  key = WORKER,
  replica = 1,
): Uint8Array {
  const order = { jobId: JOB, assignment: { attempt: 0 }, assignmentHash: digestNamed('assignment'), replica }
  const output = { ids: writer.ids, text: writer.text, finish: 'stop' as const }
  return claimOf({
    key,
    swarmId: SWARM,
    order,
    chain,
    output,
    salt: new Uint8Array(32),
    schedule: [16],
    engineId: 'toy',
  }).commitment
}

function batches(count: number, size: number): Work {
  return async (writer, stream) => {
    for (let batch = 0; batch < count; batch += 1) {
      await writer.tokens(
        Array.from({ length: size }, (_, place) => batch * size + place),
        `b${batch} `,
      )
    }
    await stream.send(frame({ kind: 'commitment', envelope: commitmentOf(writer, await writer.close()) }))
  }
}

test(
  'what a worker writes is what the reader reads: ids, text, arrivals and the head of the chain',
  within(5_000, async () => {
    const { result, text, heard } = await read(batches(50, 5))
    assert.equal(
      heard,
      Array.from({ length: 250 }, (_, id) => id),
    )
    assert.equal(result.ids, heard)
    assert.is(text, Array.from({ length: 50 }, (_, batch) => `b${batch} `).join(''))
    assert.is(result.finish, 'stop')
    assert.is(
      result.arrivals.reduce((sum, { tokenCount }) => sum + tokenCount, 0),
      250,
    )
    const times = result.arrivals.map(({ receivedNs }) => receivedNs)
    assert.ok(times.every((time, place) => place === 0 || time >= (times[place - 1] ?? 0n)))
    assert.is.not(result.chainHead, result.ackHead)
  }),
)

test(
  'a batch above a chunk, one token, and no token at all are all read',
  within(5_000, async () => {
    assert.is((await read(batches(1, 100))).result.ids.length, 100)
    assert.is((await read(batches(1, 1))).result.ids.length, 1)
    assert.is((await read(batches(0, 0))).result.ids.length, 0)
  }),
)

test(
  'a repeated claim of more text than fits a frame is read whole, surrogate pairs and all',
  within(5_000, async () => {
    const long = `a${'🙂'.repeat(60_000)}`
    const ids = Array.from({ length: 70 }, (_, id) => id)
    const { text, heard } = await read(async (writer, stream) => {
      await writer.replayed(ids, long)
      await stream.send(
        frame({
          kind: 'commitment',
          envelope: commitmentOf({ ids, text: long }, { head: digestNamed('earlier'), count: 3, shown: NOTHING_SHOWN }),
        }),
      )
    })
    assert.is(text, long)
    assert.equal(heard, ids)
  }),
)

test(
  'a worker that says how likely other tokens were than those that it sent is refused',
  within(5_000, async () => {
    const chance = { id: 2, text: 'b', logprob: -1, top: [] }
    const saying =
      (...details: readonly (typeof chance)[]): Work =>
      async (writer, stream) => {
        await writer.tokens([1, 2], 'ab', details)
        await stream.send(frame({ kind: 'commitment', envelope: commitmentOf(writer, await writer.close()) }))
      }
    assert.is(await reasonOf(saying({ ...chance, id: 1 }, chance)), 'resolved')
    for (const details of [[chance], [chance, { ...chance, id: 1 }], [chance, chance, chance]])
      assert.is(await reasonOf(saying(...details)), 'CF_MESH_REFUSED details_mismatch')
  }),
)

test(
  'an embedding job streams nothing: its commitment counts words, and a token is one too many',
  within(5_000, async () => {
    const silent: Work = async (writer, stream) => {
      const words = { ids: [1, 2, 3], text: '' }
      await stream.send(frame({ kind: 'commitment', envelope: commitmentOf(words, await writer.close()) }))
    }
    const trial = { streams: false, tokenCountMax: 0 }
    assert.is(await reasonOf(silent, trial), 'resolved')
    assert.is(
      await reasonOf(silent),
      'CF_MESH_REFUSED commitment_mismatch',
      'a job that streams says what it commits to',
    )
    assert.is(await reasonOf(batches(1, 1), trial), 'CF_MESH_REFUSED too_many_tokens')
  }),
)

test(
  'a worker that sends text without end, and no token, is refused before it fills the memory',
  within(10_000, async () => {
    const piece = 'x'.repeat(60_000)
    const saying =
      (count: number): Work =>
      async (writer, stream) => {
        for (let at = 0; at < count; at += 1) await stream.send(frame({ kind: 'tokens', text: piece }))
        await stream.send(frame({ kind: 'commitment', envelope: commitmentOf(writer, await writer.close()) }))
      }
    const most = Math.floor(LIMITS.outputTextBytesMax / piece.length)
    assert.is(await reasonOf(saying(most)), 'resolved')
    assert.is(await reasonOf(saying(most + 1)), 'CF_MESH_REFUSED text_too_long')
  }),
)

test(
  'a worker without acknowledgements stops after its window, and no chunk is signed against a stale nonce',
  within(5_000, async () => {
    const chunks: Chunk[] = []
    const tamper: Tamper = (bytes) => {
      const chunk = chunkIn(bytes)
      if (chunk !== undefined) chunks.push(chunk)
      return [bytes]
    }
    let waiting = true
    const work: Work = async (writer, stream) => {
      const writing = batches(50, 32)(writer, stream).finally(() => {
        waiting = false
      })
      writing.catch(() => undefined)
      await systemClock.sleep(150)
      assert.ok(waiting, 'the writer waits')
      stream.destroy()
    }
    assert.is.not(await codeOf(read(work, { tamper, acked: false })), 'resolved')
    assert.is(chunks.length, 5, 'nonce 0 serves the chunks 0 to 4')
  }),
)

function chunkIn(bytes: Uint8Array): Chunk | undefined {
  const work = expectAccepted(workFrameCodec.decode(bytes))
  return work.kind === 'chunk' ? expectAccepted(openAs(chunkCodec, work.envelope, SWARM)).value : undefined
}

/** Replaces the chunk with this index by a resealed one. */
function rewritten(at: number, parts: Partial<Chunk>, key = WORKER): Tamper {
  return (bytes) => {
    const chunk = chunkIn(bytes)
    if (chunk?.index !== at) return [bytes]
    return [
      frame({
        kind: 'chunk',
        envelope: encodeEnvelope(seal('chunk', SWARM, chunkCodec.encode({ ...chunk, ...parts }), key)),
      }),
    ]
  }
}

const LIES: readonly (readonly [name: string, tamper: Tamper, reason: string])[] = [
  ['a chunk by another key', rewritten(1, {}, keyNamed('w1')), 'signer_mismatch'],
  ['a chunk of another job', rewritten(1, { jobId: digestNamed('other') }), 'chunk_mismatch'],
  ['a chunk of another replica', rewritten(1, { replica: 0 }), 'chunk_mismatch'],
  ['a chunk with another leaf', rewritten(1, { tokensLeaf: digestNamed('leaf') }), 'chunk_mismatch'],
  ['a chunk that skips an index', rewritten(1, { index: 2 }), 'chunk_mismatch'],
  ['a chunk that follows another', rewritten(1, { previous: digestNamed('head') }), 'chunk_out_of_order'],
  ['a chunk with an old nonce', rewritten(1, { echoedNonce: new Uint8Array(16) }), 'chunk_mismatch'],
  ['a chunk that says it has no token', rewritten(1, { tokenCount: 0 }), 'chunk_mismatch'],
  ['a chunk left out', (bytes) => (chunkIn(bytes)?.index === 1 ? [] : [bytes]), 'chunk_out_of_order'],
  ['a chunk twice', (bytes) => (chunkIn(bytes)?.index === 1 ? [bytes, bytes] : [bytes]), 'chunk_out_of_order'],
  ['a token left out', onBatch(152, () => []), 'chunk_mismatch'],
  [
    'a token replaced',
    onBatch(152, () => [frame({ kind: 'tokens', ids: idsToBytes([1, 2, 3, 4, 5]) })]),
    'chunk_mismatch',
  ],
  ['a frame that is cut', (bytes, index) => [index === 9 ? bytes.subarray(0, -1) : bytes], 'bytes_truncated'],
  ['a frame of noise', (bytes, index) => [index === 9 ? Uint8Array.of(0xc1, 1, 2) : bytes], 'bytes_type_not_allowed'],
]

/** Changes the batch that holds this token. */
function onBatch(id: number, change: (bytes: Uint8Array) => readonly Uint8Array[]): Tamper {
  return (bytes) => {
    const work = expectAccepted(workFrameCodec.decode(bytes))
    return work.kind === 'tokens' && idsFromBytes(work.ids)?.includes(id) ? change(bytes) : [bytes]
  }
}

for (const [name, tamper, reason] of LIES) {
  test(
    `a stream is refused for ${name}`,
    within(5_000, async () => {
      const { code, detail } = await failureOf(read(batches(40, 5), { tamper }))
      assert.is(code, 'CF_MESH_REFUSED')
      assert.is(detail['reason'], reason)
    }),
  )
}

async function reasonOf(work: Work, trial: Trial = {}): Promise<string> {
  const { code, detail } = await failureOf(read(work, trial))
  return `${code} ${String(detail['reason'] ?? '')}`.trim()
}

test(
  'a commitment must be the worker’s own, of this replica, over the tokens and the chain that came',
  within(5_000, async () => {
    const committing =
      (change: (writer: ChunkWriter, chain: ClosedChain) => Uint8Array): Work =>
      async (writer, stream) => {
        await writer.tokens([1, 2, 3], 'abc')
        await stream.send(frame({ kind: 'commitment', envelope: change(writer, await writer.close()) }))
      }
    assert.is(await reasonOf(committing((writer, chain) => commitmentOf(writer, chain))), 'resolved')
    assert.is(
      await reasonOf(committing((writer, chain) => commitmentOf(writer, chain, keyNamed('w1')))),
      'CF_MESH_REFUSED commitment_mismatch',
    )
    assert.is(
      await reasonOf(committing((writer, chain) => commitmentOf(writer, chain, WORKER, 0))),
      'CF_MESH_REFUSED commitment_mismatch',
    )
    assert.is(
      await reasonOf(committing((_, chain) => commitmentOf({ ids: [1, 2], text: 'ab' }, chain))),
      'CF_MESH_REFUSED commitment_mismatch',
    )
    assert.is(
      await reasonOf(
        committing((writer) => commitmentOf(writer, { head: digestNamed('x'), count: 1, shown: NOTHING_SHOWN })),
      ),
      'CF_MESH_REFUSED chunk_mismatch',
    )
    assert.is(
      await reasonOf(committing((writer, chain) => commitmentOf(writer, chain).subarray(1))),
      'CF_MESH_REFUSED bytes_trailing',
    )
  }),
)

test(
  'a worker that never stops talking is cut off at the tokens that were asked for',
  within(5_000, async () => {
    assert.is(await reasonOf(batches(40, 5), { tokenCountMax: 200 }), 'resolved')
    assert.is(await reasonOf(batches(40, 5), { tokenCountMax: 199 }), 'CF_MESH_REFUSED too_many_tokens')
  }),
)

test(
  'a worker’s failure comes as its code, a made-up one as a refusal, and an early end as a broken stream',
  within(5_000, async () => {
    const failing =
      (text: string): Work =>
      async (_writer, stream) =>
        stream.send(frame({ kind: 'failed', text }))
    assert.is(await codeOf(read(failing('CF_WORKER_HOST_LOST'))), 'CF_WORKER_HOST_LOST')
    assert.is(await codeOf(read(failing('<script>'))), 'CF_MESH_REFUSED')
    assert.is(await codeOf(read(async (writer) => writer.tokens([1], 'x'))), 'CF_MESH_STREAM_BROKEN')
  }),
)

test.run()
