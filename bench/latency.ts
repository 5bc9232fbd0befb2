/**
 * `npm run bench:latency [-- --runs N] [--save]`: what the latency chain and its witnesses cost: tokens of the bundled model's shape
 * as they leave a worker, without headers, with the chain, and with the chain and copies for three witnesses.
 *
 * Worker, receiver and witnesses are all in this process, on one core: what is measured is the work of the five of them together, so
 * more than a worker with a machine of its own loses.
 */
import { parseArgs } from 'node:util'
import { idsToBytes } from '../core/codec/bytes.ts'
import { openAs, sealAs } from '../core/identity/envelope.ts'
import { keyPairFromSeed } from '../core/identity/keys.ts'
import { digestOf, type JobId, type SwarmId } from '../core/ids.ts'
import { steerFrameCodec, workFrameCodec } from '../core/job/proposal.ts'
import {
  ackCodec,
  acknowledge,
  type ChainStart,
  chunkCodec,
  extendChain,
  nextAck,
  openChain,
} from '../core/latency/chain.ts'
import { openSighting, sight, timelineCodec, timelineOf, WITNESSES_MAX } from '../core/latency/timeline.ts'
import { ChunkWriter } from '../node/jobs/chunk-writer.ts'
import { frame, steer } from '../node/jobs/frames.ts'
import { HeaderCopies } from '../node/jobs/header-copies.ts'
import { taken } from '../node/jobs/taken.ts'
import { createMemoryNetwork } from '../node/mesh/memory.ts'
import type { PeerStream, PeerTransport } from '../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../node/runtime/system.ts'
import { benchModels } from './engine/models.ts'
import { type Engine, generate, openEngine, requestOf } from './engine/ours.ts'
import { type Figure, print, type Result, save } from './report.ts'

const TOKENS = 512
const WAYS = ['no headers', 'chain', 'chain and 3 witnesses'] as const
type WayName = (typeof WAYS)[number]
/** Bytes of frames and envelopes, without what HTTP/2 and TLS add. */
type Tally = { worker: number; copies: number; acks: number }

const KEYS = Array.from({ length: 2 + WITNESSES_MAX }, (_, seed) => keyPairFromSeed(new Uint8Array(32).fill(seed + 1)))
const [WORKER, EDGE, ...WITNESSES] = KEYS as [(typeof KEYS)[0], (typeof KEYS)[0], ...typeof KEYS]
const SWARM_ID = digestOf(new Uint8Array(32).fill(1)) as SwarmId
const JOB_ID = digestOf(new Uint8Array(32).fill(2)) as JobId
const PLACE = { jobId: JOB_ID, attempt: 0, replica: 0 }
const START = {
  ...PLACE,
  ...{ swarmId: SWARM_ID, worker: WORKER.peer, receiver: EDGE.peer, nonce: new Uint8Array(16).fill(3) },
} satisfies ChainStart
const CALL = { deadlineMs: 60_000 }

class Bench {
  readonly tally: Tally = { worker: 0, copies: 0, acks: 0 }
  /** Ends when the streams at hand have been read to their ends. */
  readonly #reading = new Set<Promise<void>>()
  readonly #worker: PeerTransport

  constructor() {
    const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
    this.#worker = network.endpoint(WORKER.peer)
    network.endpoint(EDGE.peer).onStream('bench/work', (_from, _body, stream) => this.#track(this.#receive(stream)))
    for (const key of WITNESSES)
      network
        .endpoint(key.peer)
        .onStream('witness/watch', (_from, _body, stream) => this.#track(this.#witness(stream, key)))
  }

  /** Streams tokens as a worker does. @returns once everybody has read them all */
  async run(way: WayName, batches: AsyncIterable<readonly number[]>): Promise<void> {
    const stream = await this.#worker.openStream(EDGE.peer, 'bench/work', new Uint8Array(), CALL)
    if (way === 'no headers') {
      for await (const ids of batches) await stream.send(frame({ kind: 'tokens', ids: idsToBytes(ids), text: ' word' }))
    } else {
      const isWatched = way === 'chain and 3 witnesses'
      const peers = isWatched ? WITNESSES.map(({ peer }) => peer) : []
      const copies = new HeaderCopies(this.#worker, peers, PLACE)
      const copy = (envelope: Uint8Array): void => {
        this.tally.copies += envelope.length * peers.length
        copies.send(envelope)
      }
      const signal = AbortSignal.timeout(60_000)
      const ports = { key: WORKER, clock: systemClock, ...START, signal, copy }
      const writer = new ChunkWriter(ports, stream)
      void this.#track(this.#steer(stream, writer))
      for await (const ids of batches) await writer.tokens(ids, ' word')
      await writer.close()
      copies.close()
    }
    stream.end()
    while (this.#reading.size > 0) await Promise.all(this.#reading)
  }

  async #steer(stream: PeerStream, writer: ChunkWriter): Promise<void> {
    for await (const bytes of stream) {
      this.tally.acks += bytes.length
      writer.acknowledged(taken(steerFrameCodec.decode(bytes)).envelope)
    }
  }

  /** As node/jobs/reader.ts, to the end of the stream instead of a commitment. */
  async #receive(stream: PeerStream): Promise<void> {
    let chain = openChain(START)
    for await (const bytes of stream) {
      this.tally.worker += bytes.length
      const work = taken(workFrameCodec.decode(bytes))
      if (work.kind !== 'chunk') continue
      chain = taken(extendChain(chain, taken(openAs(chunkCodec, work.envelope, SWARM_ID))))
      const value = nextAck(chain, systemClock.monotonicNs(), systemRandom.bytes(16))
      const envelope = sealAs(ackCodec, value, SWARM_ID, EDGE)
      chain = taken(acknowledge(chain, { value, signer: EDGE.peer, body: ackCodec.encode(value) }))
      await stream.send(steer({ kind: 'ack', envelope }))
    }
    stream.end()
  }

  async #witness(stream: PeerStream, key: (typeof KEYS)[0]): Promise<void> {
    let seen = openSighting({ ...PLACE, swarmId: SWARM_ID, worker: WORKER.peer, tokensMax: TOKENS })
    const startNs = systemClock.monotonicNs()
    for await (const envelope of stream) {
      const chunk = taken(openAs(chunkCodec, envelope, SWARM_ID))
      seen = taken(sight(seen, chunk, systemClock.monotonicNs() - startNs))
    }
    const timeline = timelineOf(seen)
    if (timeline?.tokens !== TOKENS) throw new Error('a witness saw a part of the stream')
    this.tally.copies += sealAs(timelineCodec, timeline, SWARM_ID, key).length
    stream.end()
  }

  #track(reading: Promise<void>): Promise<void> {
    this.#reading.add(reading)
    return reading.finally(() => this.#reading.delete(reading))
  }
}

/** As fast as they can be taken: the cost of the sending alone. */
async function* atOnce(): AsyncIterable<readonly number[]> {
  for (let id = 0; id < TOKENS; id += 1) yield [id]
}

async function* generated(engine: Engine): AsyncIterable<readonly number[]> {
  for await (const { ids } of engine.backend.generate(requestOf(engine, 16, TOKENS, 1), AbortSignal.timeout(60_000)))
    yield ids
}

async function latencyBench(runs: number): Promise<Result> {
  const { tiny } = await benchModels('off')
  const engine = await openEngine(tiny, { threads: 1, slots: 1, driver: 'native', contextTokens: 1_024 })
  try {
    await generate(engine, requestOf(engine, 16, TOKENS, 1))
    const [figures, bytes]: [Figure[], Figure[]] = [[], []]
    const sources = { sent: atOnce, 'generated and sent': () => generated(engine) }
    for (const [source, batches] of Object.entries(sources)) {
      const us = WAYS.map((): number[] => [])
      for (let run = -1; run < runs; run += 1)
        for (const [place, way] of WAYS.entries()) {
          const bench = new Bench()
          const begunMs = performance.now()
          await bench.run(way, batches())
          if (run >= 0) us[place]?.push(((performance.now() - begunMs) * 1_000) / TOKENS)
          if (run === 0 && source === 'sent') bytes.push(...bytesOf(way, bench.tally))
        }
      figures.push(
        ...WAYS.map((way, place) => ({ name: `${source}, ${way}`, unit: 'us/token', values: us[place] ?? [] })),
      )
    }
    // The fastest runs: others on the machine only ever make one slower, and by more than what is looked for.
    const of = (name: string): number => Math.min(...(figures.find((figure) => figure.name === name)?.values ?? []))
    const slower = (way: WayName) => ({
      name: `fastest: what ${way} adds / a generated token`,
      value: (of(`sent, ${way}`) - of('sent, no headers')) / of('generated and sent, no headers'),
    })
    return {
      bench: 'latency',
      figures: [...figures, ...bytes],
      ratios: [slower('chain'), slower('chain and 3 witnesses')],
    }
  } finally {
    await engine.close()
  }
}

function bytesOf(way: WayName, { worker, copies, acks }: Tally): readonly Figure[] {
  const parts = { 'worker to edge': worker, 'edge to worker': acks, 'to and from witnesses': copies }
  return Object.entries(parts).map(([name, count]) => ({
    ...{ name: `bytes, ${way}, ${name}`, unit: 'B/token', values: [count / TOKENS] },
  }))
}

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '9' }, save: { type: 'boolean', default: false } },
})
const result = await latencyBench(Number(values.runs))
print(result)
if (values.save) save(result)
