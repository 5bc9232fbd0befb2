/** The address block of a peer, against which a draw caps: machines of one network are one risk. */
import { domainHash } from '#core/hash'
import { utf8 } from '../codec/bytes.ts'
import { keyOf, type PeerId } from '../ids.ts'

const GROUPS = 8

/**
 * Gives the block of an address as a u32: a /24 of public IPv4, a /48 of public IPv6.
 *
 * Why a peer without a public address has a block of its own: behind one relay, or in one house, many would share a number that says
 * nothing of where they are, and the cap would bind by accident. Their owners are capped all the same.
 *
 * @param address  `host:port` or `relay:<PeerId>`, the first of the peer's record; undefined when it has none
 */
export function blockOf(address: string | undefined, peer: PeerId): number {
  const host = address === undefined ? '' : hostOf(address)
  const v4 = parseIPv4(host)
  if (v4 !== undefined) return isPublicV4(v4) ? blockOfV4(v4) : own(peer)
  const v6 = parseIPv6(host)
  if (v6 === undefined) return own(peer)
  const mapped = mappedV4(v6)
  if (mapped !== undefined) return isPublicV4(mapped) ? blockOfV4(mapped) : own(peer)
  return isPublicV6(v6)
    ? hashed('v6', Uint8Array.from(v6.slice(0, 3).flatMap((group) => [group >> 8, group & 255])))
    : own(peer)
}

/** Without the port and the brackets around IPv6. */
function hostOf(address: string): string {
  const host = address.slice(0, Math.max(0, address.lastIndexOf(':')))
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
}

function own(peer: PeerId): number {
  return hashed('own', keyOf(peer))
}

/** Odd, so that it is never the block of an IPv4 network. */
function hashed(domain: string, bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = domainHash('address-block', utf8(domain), bytes)
  return ((a << 24) | (b << 16) | (c << 8) | d | 1) >>> 0
}

function blockOfV4([a = 0, b = 0, c = 0]: readonly number[]): number {
  return ((a << 24) | (b << 16) | (c << 8)) >>> 0
}

/** @see RFC 6890 */
function isPublicV4([a = 0, b = 0, c = 0]: readonly number[]): boolean {
  if (a === 0 || a === 10 || a === 127 || a >= 224) return false
  if (a === 100) return b < 64 || b > 127
  if (a === 169) return b !== 254
  if (a === 172) return b < 16 || b > 31
  if (a === 192) return b !== 168 && !(b === 0 && (c === 0 || c === 2))
  if (a === 198) return !(b === 18 || b === 19 || (b === 51 && c === 100))
  return !(a === 203 && b === 0 && c === 113)
}

/** Global unicast is 2000::/3; of it 2001:db8::/32 is for documentation. @see RFC 4291, RFC 3849 */
function isPublicV6([first = 0, second = 0]: readonly number[]): boolean {
  return first >> 13 === 1 && !(first === 0x2001 && second === 0x0db8)
}

/** ::ffff:a.b.c.d */
function mappedV4(groups: readonly number[]): readonly number[] | undefined {
  const [g0, g1, g2, g3, g4, g5, high = 0, low = 0] = groups
  const mapped = [g0, g1, g2, g3, g4].every((group) => group === 0) && g5 === 0xffff
  return mapped ? [high >> 8, high & 255, low >> 8, low & 255] : undefined
}

function parseIPv4(host: string): readonly number[] | undefined {
  const parts = host.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) return undefined
  const bytes = parts.map(Number)
  return bytes.every((byte) => byte <= 255) ? bytes : undefined
}

/** Eight groups of 16 bits; a zone and an IPv4 tail other than a mapped one's are not for addresses that others dial. */
function parseIPv6(host: string): readonly number[] | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(host)
  const v4 = tail === null ? undefined : parseIPv4(tail[2] ?? '')
  if (tail !== null && v4 === undefined) return undefined
  const [a = 0, b = 0, c = 0, d = 0] = v4 ?? []
  const text = tail === null ? host : `${tail[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [left = [], right = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  if (![...left, ...right].every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  const gap = GROUPS - left.length - right.length
  if (halves.length === 1 ? gap !== 0 : gap < 1) return undefined
  return [...left, ...Array.from({ length: gap }, () => '0'), ...right].map((group) => Number.parseInt(group, 16))
}
