/** Letting peers in, from both sides: what a newcomer asks, and what a member answers to somebody it does not know yet. */
import { toHex } from '../../core/codec/bytes.ts'
import { code, defineBody, text } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import { inviteCodec, inviteSpendCodec } from '../../core/log/bodies.ts'
import { type Genesis, parseGenesis } from '../../core/log/genesis.ts'
import { sealSpend } from '../../core/log/invites.ts'
import type { LogState } from '../../core/log/state.ts'
import { taken } from '../jobs/taken.ts'
import type { Ledger, PeerTransport } from '../runtime/ports.ts'
import type { Ticket } from './ticket.ts'

/** What somebody may ask whom nobody has let in yet. */
export const OPEN_TYPES = ['swarm/genesis', 'swarm/join'] as const

const joinAnswerCodec = defineBody('join-answer', { status: code(['joined', 'refused']), reason: text(64) }, 128)
const GENESIS_MS = 10_000
/** The entry has to be in the log when it is answered. */
const JOIN_MS = 20_000

export type WelcomePorts = {
  readonly transport: PeerTransport
  readonly ledger: Pick<Ledger, 'append'>
  readonly state: () => LogState
}

/** Answers newcomers: the genesis to anybody who asks, a place in the log to whoever has an invite. */
export function welcomeNewcomers({ transport, ledger, state }: WelcomePorts): void {
  transport.onMessage('swarm/genesis', async () => state().genesis.bytes)
  transport.onMessage('swarm/join', async (from, spend) => {
    const earlier = spentBy(state(), spend)
    // A newcomer whose answer was lost asks again.
    if (earlier === from) return joinAnswerCodec.encode({ status: 'joined', reason: '' })
    const result = await ledger.append('invite', spend)
    if (result.status === 'applied' || spentBy(state(), spend) === from)
      return joinAnswerCodec.encode({ status: 'joined', reason: '' })
    return joinAnswerCodec.encode({ status: 'refused', reason: result.reason })
  })
}

/** Who has used up the invite in a spend; undefined for bytes that hold none. */
function spentBy({ swarmId, invites }: LogState, bytes: Uint8Array): PeerId | undefined {
  const spend = openAs(inviteSpendCodec, bytes, swarmId)
  if (spend.action !== 'accept') return undefined
  const invite = openAs(inviteCodec, spend.value.value.invite, swarmId)
  if (invite.action !== 'accept') return undefined
  return invites.get(`${invite.value.signer}/${toHex(invite.value.value.id)}`)
}

/** @throws CF_MESH_INVITE_INVALID when the door's genesis is not the one that the ticket names; CF_MESH_* when nobody answers */
export async function fetchGenesis(transport: PeerTransport, ticket: Ticket, signal: AbortSignal): Promise<Genesis> {
  const options = { deadlineMs: GENESIS_MS, signal }
  const genesis = taken(parseGenesis(await transport.request(ticket.door, 'swarm/genesis', new Uint8Array(), options)))
  if (genesis.swarmId !== ticket.swarm) throw new FabricError('CF_MESH_INVITE_INVALID', { reason: 'another_swarm' })
  return genesis
}

/** Spends the invite. @throws CF_MESH_INVITE_REFUSED with the log's reason; CF_MESH_* when nobody answers */
export async function joinSwarm(
  transport: PeerTransport,
  ticket: Ticket,
  keys: { readonly user: KeyPair; readonly node: KeyPair },
  genesis: Genesis,
  signal: AbortSignal,
): Promise<void> {
  const spend = sealSpend(genesis.swarmId, ticket.invite, keys.user, keys.node)
  const answer = await transport.request(ticket.door, 'swarm/join', spend, { deadlineMs: JOIN_MS, signal })
  const { status, reason } = taken(joinAnswerCodec.decode(answer))
  if (status === 'refused') throw new FabricError('CF_MESH_INVITE_REFUSED', { reason })
}
