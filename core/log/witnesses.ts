/** Who witnesses a stream: validators that neither its worker nor its edge owns. */
import type { Digest, PeerId } from '../ids.ts'
import { witnessesOf } from '../latency/timeline.ts'
import { ownerOf } from './standing.ts'
import type { LogState } from './state.ts'

export type Streaming = {
  readonly holdHash: Digest
  readonly attempt: number
  readonly replica: number
  readonly worker: PeerId
  readonly edge: PeerId
}

/** @returns best ranked first; nobody in a local swarm, where all clocks are one owner's */
export function witnessesFor(
  state: LogState,
  { holdHash, attempt, replica, worker, edge }: Streaming,
): readonly PeerId[] {
  if (state.genesis.local) return []
  const owners = [worker, edge].map((peer) => ownerOf(state, peer))
  const isInvolved = (validator: PeerId): boolean =>
    validator === worker || validator === edge || owners.includes(ownerOf(state, validator))
  return witnessesOf({ validators: state.validators.keys, holdHash, attempt, replica, isInvolved })
}
