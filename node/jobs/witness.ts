/** A validator as a witness of streams: it notes when chunk headers come and says so once, to the edge that asks. */
import { type BodyOf, bytes, defineBody, digest, u8, u32 } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import { chunkCodec } from '../../core/latency/chain.ts'
import { openSighting, type Sighting, sight, timelineCodec, timelineOf } from '../../core/latency/timeline.ts'
import { intentOf } from '../../core/log/settling.ts'
import type { LogState } from '../../core/log/state.ts'
import { witnessesFor } from '../../core/log/witnesses.ts'
import type { Clock, PeerStream, PeerTransport } from '../runtime/ports.ts'
import { jobOfEdge } from './its-edge.ts'
import { whenLogged } from './lag.ts'
import { taken } from './taken.ts'

/** Worker to witness, at the opening of a stream of its chunk headers: envelopes `chunk` follow. */
export const watchCodec = defineBody('watch', { jobId: digest(), attempt: u32(), replica: u8() }, 128)
export type Watch = BodyOf<typeof watchCodec>

/** Edge to witness, when the worker has committed: what did you see of the stream with this head? */
export const timelineRequestCodec = defineBody(
  'timeline-request',
  { jobId: digest(), attempt: u32(), replica: u8(), chainHead: bytes(32) },
  128,
)

export type WitnessPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly state: () => LogState
}

/** Holds whose moment is remembered, and streams that are watched: the oldest make room. */
const HOLDS_MAX = 4_096
const SIGHTINGS_MAX = 1_024
/** The last header may still be on its way when the edge asks. */
const LAST_HEADER_MS = 500
const POLL_MS = 10

export class Witness {
  readonly #ports: WitnessPorts
  /** When the log here had a job's hold, on this node's monotonic clock. */
  readonly #held = new Map<JobId, bigint>()
  readonly #sightings = new Map<string, Sighting>()

  constructor(ports: WitnessPorts) {
    this.#ports = ports
    const { transport } = ports
    transport.onStream('witness/watch', (from, body, stream, signal) =>
      this.#watch(from, taken(watchCodec.decode(body)), stream, signal),
    )
    transport.onMessage('witness/timeline', (from, body, signal) => this.#tell(from, body, signal))
  }

  /** The log here has a job's hold: its clock begins, and nobody who gains by it can make it begin later. */
  held(jobId: JobId): void {
    if (!this.#held.has(jobId)) rememberWithin(this.#held, jobId, this.#ports.clock.monotonicNs(), HOLDS_MAX)
  }

  async #watch(from: PeerId, watch: Watch, stream: PeerStream, signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#ports
    const jobId = watch.jobId as JobId
    const startNs = this.#held.get(jobId)
    // Without the moment of the hold any time said here would be the worker's choice.
    if (startNs === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
    const key = nameOf(watch)
    if (this.#sightings.has(key)) throw new FabricError('CF_MESH_REFUSED', { reason: 'stale' })
    let isKnown = false
    for await (const envelope of stream) {
      const receivedNs = clock.monotonicNs() - startNs
      if (!isKnown) {
        await whenLogged(() => this.#isStreaming(from, watch), clock, signal)
        if (!this.#isStreaming(from, watch)) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
        isKnown = true
      }
      const { swarmId } = state()
      const seen = this.#sightings.get(key) ?? this.#open(from, watch)
      const chunk = taken(openAs(chunkCodec, envelope, swarmId))
      rememberWithin(this.#sightings, key, taken(sight(seen, chunk, receivedNs)), SIGHTINGS_MAX)
    }
    stream.end()
  }

  /** Whether the log has given this replica to that peer, and this node is drawn to watch it. */
  #isStreaming(from: PeerId, { jobId, attempt, replica }: Watch): boolean {
    const { key, state } = this.#ports
    const job = state().jobs.get(jobId as JobId)
    if (job?.phase !== 'assigned' || job.attempt !== attempt || job.workers[replica] !== from) return false
    const { holdHash, edge } = job
    return witnessesFor(state(), { holdHash, attempt, replica, worker: from, edge }).includes(key.peer)
  }

  #open(worker: PeerId, { jobId, attempt, replica }: Watch): Sighting {
    const { state } = this.#ports
    const job = state().jobs.get(jobId as JobId)
    const tokensMax = job === undefined ? 0 : intentOf(job).maxTokens
    return openSighting({ swarmId: state().swarmId, jobId, attempt, replica, worker, tokensMax })
  }

  async #tell(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { key, clock, state } = this.#ports
    const request = taken(timelineRequestCodec.decode(body))
    await jobOfEdge(state, request.jobId as JobId, from, clock, signal)
    const name = nameOf(request)
    const wanted = Buffer.from(request.chainHead).toString('hex')
    const endMs = clock.nowMs() + LAST_HEADER_MS
    while (this.#sightings.get(name)?.head !== wanted && clock.nowMs() < endMs && !signal.aborted)
      await clock.sleep(POLL_MS, signal).catch(() => undefined)
    const seen = this.#sightings.get(name)
    const timeline = seen === undefined ? undefined : timelineOf(seen)
    if (timeline === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
    return sealAs(timelineCodec, timeline, state().swarmId, key)
  }
}

function nameOf({ jobId, attempt, replica }: Watch): string {
  return `${jobId}/${attempt}/${replica}`
}
