/** Messages with words in them, as their sender seals them and their receiver opens them. */
import type { KeyPair } from '../../core/identity/keys.ts'
import type { JobId, PeerId, SwarmId } from '../../core/ids.ts'
import { openMessage, sealMessage } from '../../core/job/sealed-message.ts'
import { systemRandom } from '../../node/runtime/system.ts'
import { expectAccepted } from './job-run.ts'

type About = { readonly swarmId: SwarmId; readonly kind: string; readonly jobId: JobId; readonly to: PeerId }

export function sealedBy(key: KeyPair, about: About, body: Uint8Array) {
  return sealMessage({ ...about, from: key.peer }, body, systemRandom.bytes(32))
}

export function openedBy(
  key: KeyPair,
  about: { readonly swarmId: SwarmId; readonly kind: string; readonly from: PeerId },
  message: Uint8Array,
): Uint8Array {
  return expectAccepted(openMessage(key, about, message)).body
}
