/** Making invites on a node that may let others in. */
import { FabricError } from '../../core/errors.ts'
import { mayInvite } from '../../core/log/authority.ts'
import { sealInvite } from '../../core/log/invites.ts'
import type { InviteTerms } from '../runtime/app.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import type { LocalKeys } from './genesis.ts'
import type { Network } from './networked.ts'
import { ticketText } from './ticket.ts'

export type InvitingNetwork = Pick<Network, 'addresses'> & { readonly ledger: Pick<Network['ledger'], 'state'> }

const ID_BYTES = 16
/** 100 credits. */
const USUAL_MICRO = 100_000_000n

/**
 * @returns one line for the newcomer
 * @throws  CF_MESH_INVITE_REFUSED: the swarm is of one machine, this node may not invite, has no address, or makes no credit
 */
export function invite(
  network: InvitingNetwork | undefined,
  { forPeer, lifetimeMs, grant }: InviteTerms,
  {
    keys,
    clock,
    random,
    swarmKey,
  }: { keys: LocalKeys; clock: Clock; random: Random; swarmKey: Uint8Array | undefined },
): string {
  if (network === undefined) throw new FabricError('CF_MESH_INVITE_REFUSED', { reason: 'swarm_of_one_machine' })
  const { state } = network.ledger
  const addresses = network.addresses()
  if (addresses.length === 0) throw new FabricError('CF_MESH_INVITE_REFUSED', { reason: 'no_address' })
  // The mint key where it is: only with it an invite brings credit.
  const issuer = [keys.mint, keys.node].find(({ peer }) => mayInvite(state, peer))
  if (issuer === undefined)
    throw new FabricError('CF_MESH_INVITE_REFUSED', { reason: 'neither_validator_nor_mint_key' })
  const mints = state.genesis.mintKeys.includes(issuer.peer)
  const granted = grant ?? (mints ? USUAL_MICRO : 0n)
  if (granted > 0n && !mints) throw new FabricError('CF_MESH_INVITE_REFUSED', { reason: 'no_mint_key' })
  const expiresMs = BigInt(clock.nowMs() + lifetimeMs)
  const sealed = sealInvite(state.swarmId, { id: random.bytes(ID_BYTES), expiresMs, forPeer, grant: granted }, issuer)
  const door = { swarm: state.swarmId, door: keys.node.peer, addresses: [...addresses] }
  return ticketText({ ...door, invite: sealed, swarmKey: swarmKey ?? new Uint8Array() })
}
