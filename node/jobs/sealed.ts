/** Seals what carries words for the one peer that is to read them, and opens it there. */
import { FabricError } from '../../core/errors.ts'
import { admitKey, type KeyPair } from '../../core/identity/keys.ts'
import { type JobId, keyOf, type PeerId } from '../../core/ids.ts'
import { type OpenedMessage, openMessage, SEALED_BODY_BYTES_MAX, sealMessage } from '../../core/job/sealed-message.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Random } from '../runtime/ports.ts'

type Opener = { readonly key: KeyPair; readonly state: () => LogState }
type Sealer = Opener & { readonly random: Random }

const EPHEMERAL_BYTES = 32

/**
 * Seals the body of a message about a job.
 *
 * @param kind  the message's type
 * @throws FabricError CF_MESH_REFUSED body_too_large, CF_MESH_PEER_UNREACHABLE for what is no key: as the transport would
 */
export function sealFor(
  { key, state, random }: Sealer,
  to: PeerId,
  kind: string,
  jobId: JobId,
  body: Uint8Array,
): ReturnType<typeof sealMessage> {
  if (admitKey(keyOf(to)).action !== 'accept') throw new FabricError('CF_MESH_PEER_UNREACHABLE', { peer: to })
  if (body.length > SEALED_BODY_BYTES_MAX) throw new FabricError('CF_MESH_REFUSED', { reason: 'body_too_large' })
  const about = { swarmId: state().swarmId, kind, jobId, from: key.peer, to }
  return sealMessage(about, body, random.bytes(EPHEMERAL_BYTES))
}

/**
 * Opens what came from a peer as a message of this kind.
 *
 * @throws FabricError CF_IDENTITY_BOX_INVALID
 */
export function openFrom({ key, state }: Opener, from: PeerId, kind: string, bytes: Uint8Array): OpenedMessage {
  const opened = openMessage(key, { swarmId: state().swarmId, kind, from }, bytes)
  if (opened.action === 'accept') return opened.value
  throw new FabricError('CF_IDENTITY_BOX_INVALID', { kind, reason: opened.reason })
}

/** A box says which job it is about, and so does what is in it. @throws FabricError CF_IDENTITY_BOX_INVALID */
export function checkSameJob({ jobId }: OpenedMessage, inside: string): void {
  if (jobId !== inside) throw new FabricError('CF_IDENTITY_BOX_INVALID', { reason: 'job_mismatch' })
}
