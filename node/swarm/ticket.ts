/** An invite as people hand it around: one line that says which swarm, where to knock, and what to show there. */
import { type BodyOf, bytesMax, defineBody, digest, list, peer, text, u8 } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'

/** What comes behind it is base64url. */
const PREFIX = 'cfi1'
const TEXT_CHARACTERS_MAX = 2_048
const VERSION = 1

const ticketCodec = defineBody(
  'ticket',
  {
    version: u8(),
    swarm: digest(),
    /** Who opens the door, and where it is. */
    door: peer(),
    addresses: list(text(72), 4),
    /** Sealed `invite`. */
    invite: bytesMax(300),
    /** Empty, or the key of a private swarm. */
    swarmKey: bytesMax(64),
  },
  1_024,
)
export type Ticket = Omit<BodyOf<typeof ticketCodec>, 'version'>

export function ticketText(ticket: Ticket): string {
  const body = ticketCodec.encode({ version: VERSION, ...ticket })
  return PREFIX + Buffer.from(body).toString('base64url')
}

/** @throws CF_MESH_INVITE_INVALID */
export function parseTicket(line: string): Ticket {
  const given = line.trim()
  if (!given.startsWith(PREFIX) || given.length > TEXT_CHARACTERS_MAX)
    throw new FabricError('CF_MESH_INVITE_INVALID', { reason: 'no_invite' })
  const encoded = given.slice(PREFIX.length)
  const bytes = Uint8Array.from(Buffer.from(encoded, 'base64url'))
  const decoded = ticketCodec.decode(bytes)
  // Base64 readers skip what they do not know: what was cut or mistyped must not pass.
  const whole = Buffer.from(bytes).toString('base64url') === encoded
  if (!whole || decoded.action !== 'accept' || decoded.value.version !== VERSION)
    throw new FabricError('CF_MESH_INVITE_INVALID', { reason: 'damaged' })
  const { version: _, ...ticket } = decoded.value
  return ticket
}
