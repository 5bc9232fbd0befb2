/** What a witness lets in and how much of it it keeps. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openAs, sealAs } from '../../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import { digestBytes, type JobId, type PeerId } from '../../../../core/ids.ts'
import { type Chunk, chunkCodec, chunkHash } from '../../../../core/latency/chain.ts'
import { timelineCodec } from '../../../../core/latency/timeline.ts'
import { witnessesFor } from '../../../../core/log/witnesses.ts'
import { HeaderCopies } from '../../../../node/jobs/header-copies.ts'
import { timelineRequestCodec, Witness, watchCodec } from '../../../../node/jobs/witness.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { systemClock, systemRandom } from '../../../../node/runtime/system.ts'
import { codeOf } from '../../../support/error-code.ts'
import { assigned, runTo } from '../../../support/every-phase.ts'
import { EDGE, expectAccepted, type JobRun, OTHER_EDGE, secretOf } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const CALL = { deadlineMs: 1_500 }

class Bench {
  readonly run: JobRun = runTo(assigned)
  readonly worker: KeyPair
  readonly witness: Witness
  readonly self: PeerId
  readonly watch: { readonly jobId: JobId; readonly attempt: number; readonly replica: number }
  readonly #network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
  readonly #transports = new Map<PeerId, PeerTransport>()

  constructor() {
    const { state } = this.run.swarm
    const job = state.jobs.get(this.run.job.id) ?? missing('a job')
    const [worker = missing('a worker')] = job.workers
    this.worker = secretOf(worker)
    this.watch = { jobId: job.id, attempt: job.attempt, replica: 0 }
    const drawn = witnessesFor(state, { holdHash: job.holdHash, attempt: 0, replica: 0, worker, edge: job.edge })
    this.self = drawn[0] ?? missing('a witness')
    const key = secretOf(this.self)
    this.witness = new Witness({ key, transport: this.of(this.self), clock: systemClock, state: () => state })
  }

  of(peer: PeerId): PeerTransport {
    const transport = this.#transports.get(peer) ?? this.#network.endpoint(peer)
    this.#transports.set(peer, transport)
    return transport
  }

  learn(): void {
    this.witness.held(this.watch.jobId as JobId)
  }

  /** Two headers that follow each other, and the hash of the second. */
  chunks(parts: Partial<Chunk> = {}) {
    const { swarmId } = this.run.swarm.state
    const common = { ...this.watch, tokenCount: 2, tokensLeaf: digestNamed('leaf'), echoedNonce: new Uint8Array(16) }
    const first: Chunk = { ...common, index: 0, tokenStart: 0, previous: digestNamed('start'), monoNs: 1n, ...parts }
    const previous = chunkHash(swarmId, chunkCodec.encode(first))
    const second: Chunk = { ...common, index: 1, tokenStart: 2, previous, monoNs: 2n }
    const sealed = [first, second].map((chunk) => sealAs(chunkCodec, chunk, swarmId, this.worker))
    return { sealed, head: chunkHash(swarmId, chunkCodec.encode(second)) }
  }

  /** Sends headers as that peer; what the witness makes of them is asked of `ask`. */
  async sends(envelopes: readonly Uint8Array[], from = this.worker.peer, watch = this.watch): Promise<unknown> {
    const stream = await this.of(from).openStream(this.self, 'witness/watch', watchCodec.encode(watch), CALL)
    for (const envelope of envelopes) await stream.send(envelope)
    stream.end()
    for await (const _ of stream) throw new Error('a witness answers nothing')
    return undefined
  }

  ask(chainHead: string, from = EDGE.peer): Promise<Uint8Array> {
    const body = timelineRequestCodec.encode({ ...this.watch, chainHead: digestBytes(chainHead as never) })
    return this.of(from).request(this.self, 'witness/timeline', body, CALL)
  }
}

test(
  'a witness that voted on the assignment says what it saw, to the edge of the job alone',
  within(5_000, async () => {
    const bench = new Bench()
    bench.learn()
    const { sealed, head } = bench.chunks()
    await bench.sends(sealed)
    const { swarmId } = bench.run.swarm.state
    const { value, signer } = expectAccepted(openAs(timelineCodec, await bench.ask(head), swarmId))
    assert.is(signer, bench.self)
    assert.equal([value.chainHead, value.chunkCount, value.tokens], [head, 2, 4])
    assert.is(await codeOf(bench.ask(head, OTHER_EDGE.peer)), 'CF_MESH_REFUSED')
  }),
)

test(
  'a flood of headers for jobs that it knows nothing of, and by strangers, is refused and leaves nothing behind',
  within(10_000, async () => {
    const bench = new Bench()
    const { sealed, head } = bench.chunks()
    // Not learned: any time that it said would be the worker's choice.
    for (let round = 0; round < 200; round += 1) {
      const jobId = digestNamed(`unknown ${round}`) as JobId
      assert.match(await codeOf(bench.sends(sealed, bench.worker.peer, { ...bench.watch, jobId })), /^CF_MESH/)
    }
    assert.match(await codeOf(bench.sends(sealed)), /^CF_MESH/)
    bench.learn()
    assert.match(await codeOf(bench.sends(sealed, keyNamed('stranger').peer)), /^CF_MESH/)
    assert.is(await codeOf(bench.ask(head)), 'CF_MESH_REFUSED')
    await bench.sends(sealed)
    assert.ok((await bench.ask(head)).length > 0, 'and the right worker is still heard')
  }),
)

test(
  'an older job’s headers, empty ones, and a second stream of the same replica are not taken',
  within(5_000, async () => {
    const bench = new Bench()
    bench.learn()
    for (const parts of [{ jobId: digestNamed('older') }, { attempt: 7 }, { tokenCount: 0 }])
      assert.match(await codeOf(bench.sends(bench.chunks(parts).sealed)), /^CF_MESH/)
    const { sealed, head } = bench.chunks()
    await bench.sends(sealed)
    const before = await bench.ask(head)
    assert.match(await codeOf(bench.sends(bench.chunks({ monoNs: 0n }).sealed)), /^CF_MESH/)
    assert.equal(await bench.ask(head), before, 'the first account stands, and says the same each time')
  }),
)

test(
  'a witness that reads nothing is given up after 256 headers, and the worker’s sending never waits for it',
  within(5_000, async () => {
    const bench = new Bench()
    const network = createMemoryNetwork({}, { clock: systemClock, random: systemRandom })
    const [from, deaf] = [network.endpoint(bench.worker.peer), network.endpoint(bench.self)]
    let opened = 0
    deaf.onStream('witness/watch', async (_from, _body, _stream, signal) => {
      opened += 1
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const copies = new HeaderCopies(from, [bench.self], bench.watch)
    const header = new Uint8Array(300)
    let waited = 0
    for (let count = 0; count < 5_000; count += 1) {
      const answer: unknown = copies.send(header)
      if (answer !== undefined) waited += 1
      if (count % 100 === 0) await systemClock.sleep(1)
    }
    assert.is(waited, 0)
    assert.is(opened, 1, 'and it is not tried again')
    copies.close()
    await Promise.all([from.close(), deaf.close()])
  }),
)

test.run()
