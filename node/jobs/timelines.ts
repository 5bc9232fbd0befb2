/** Asks the witnesses of a stream what they saw of it. */
import { FabricError } from '../../core/errors.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, digestBytes, type JobId, type PeerId } from '../../core/ids.ts'
import { checkTimeline, timelineCodec } from '../../core/latency/timeline.ts'
import type { LogState } from '../../core/log/state.ts'
import { witnessesFor } from '../../core/log/witnesses.ts'
import { deliveryCodec } from '../../core/receipt/receipt.ts'
import type { PeerTransport } from '../runtime/ports.ts'
import { taken } from './taken.ts'
import { timelineRequestCodec } from './witness.ts'

export type Asked = {
  readonly jobId: JobId
  readonly attempt: number
  readonly replica: number
  readonly worker: PeerId
  /** That the worker committed to. */
  readonly chainHead: Digest
}

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
  const { attempt, chainHead } = value
  const asked = { jobId: value.jobId as JobId, attempt, replica, worker, chainHead }
  const witnesses = await timelinesOf({ key, transport, state }, asked)
  return witnesses.length === 0 ? undefined : sealAs(deliveryCodec, { ...value, witnesses }, state.swarmId, key)
}

/** @returns envelopes of those drawn witnesses that saw the whole of a stream, best ranked first */
export async function timelinesOf(ports: AskerPorts, asked: Asked): Promise<readonly Uint8Array[]> {
  const { key, state } = ports
  const job = state.jobs.get(asked.jobId)
  if (job === undefined) return []
  const { attempt, replica, worker } = asked
  const drawn = witnessesFor(state, { holdHash: job.holdHash, attempt, replica, worker, edge: key.peer })
  return (await Promise.all(drawn.map((witness) => ask(ports, witness, asked)))).flat()
}

/** @returns the envelope; nothing of one that is away or saw only a part */
async function ask(
  { transport, state }: AskerPorts,
  witness: PeerId,
  { jobId, attempt, replica, chainHead }: Asked,
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
