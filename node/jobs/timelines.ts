/** Asks the witnesses of a stream what they saw of it. */
import { FabricError } from '../../core/errors.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { digestBytes, type JobId, type PeerId } from '../../core/ids.ts'
import { checkTimeline, timelineCodec } from '../../core/latency/timeline.ts'
import type { LogState } from '../../core/log/state.ts'
import { witnessesFor } from '../../core/log/witnesses.ts'
import { type Delivery, deliveryCodec } from '../../core/receipt/receipt.ts'
import type { PeerTransport } from '../runtime/ports.ts'
import { taken } from './taken.ts'
import { timelineRequestCodec } from './witness.ts'

export type AskerPorts = { readonly key: KeyPair; readonly transport: PeerTransport; readonly state: LogState }

const ASK_MS = 2_000

/**
 * @param delivery  this edge's own account of a stream, without witnesses
 * @param worker    of the replica that ended the stream
 * @returns         the same with what the witnesses saw; undefined when none saw all of it
 */
export async function withTimelines(
  { key, transport, state }: AskerPorts,
  delivery: Uint8Array,
  replica: number,
  worker: PeerId,
): Promise<Uint8Array | undefined> {
  const { value } = taken(openAs(deliveryCodec, delivery, state.swarmId))
  const job = state.jobs.get(value.jobId as JobId)
  if (job === undefined) return undefined
  const { attempt } = value
  const drawn = witnessesFor(state, { holdHash: job.holdHash, attempt, replica, worker, edge: key.peer })
  const timelines = await Promise.all(drawn.map((witness) => ask({ key, transport, state }, witness, replica, value)))
  const witnesses = timelines.flat()
  return witnesses.length === 0 ? undefined : sealAs(deliveryCodec, { ...value, witnesses }, state.swarmId, key)
}

/** @returns the envelope; nothing of one that is away or saw only a part */
async function ask(
  { transport, state }: AskerPorts,
  witness: PeerId,
  replica: number,
  { jobId, attempt, chainHead }: Delivery,
): Promise<readonly Uint8Array[]> {
  const about = { jobId, attempt, replica }
  const body = timelineRequestCodec.encode({ ...about, chainHead: digestBytes(chainHead) })
  try {
    const envelope = await transport.request(witness, 'witness/timeline', body, { deadlineMs: ASK_MS })
    taken(checkTimeline(taken(openAs(timelineCodec, envelope, state.swarmId)), { ...about, chainHead }, [witness]))
    return [envelope]
  } catch (error) {
    if (error instanceof FabricError) return []
    throw error
  }
}
