/** Addresses of peers as records and settings write them. */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { parsePeerId } from '../../core/ids.ts'
import type { PeerAddress } from '../runtime/mesh.ts'

const RELAY = 'relay:'
const PORT_MAX = 65_535

/** @returns undefined for anything but `host:port`, `[v6]:port` and `relay:<PeerId>` */
export function parseAddress(text: string): PeerAddress | undefined {
  if (text.startsWith(RELAY)) {
    const gateway = parsePeerId(text.slice(RELAY.length))
    return gateway === undefined ? undefined : { kind: 'relay', gateway }
  }
  const found = /^(?:\[([0-9a-f:.]{2,45})\]|([A-Za-z0-9.-]{1,60})):([0-9]{1,5})$/.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  if (host === undefined || port < 1 || port > PORT_MAX) return undefined
  return found?.[1] !== undefined && isIP(host) !== 6 ? undefined : { kind: 'direct', host, port }
}

export function addressText(address: PeerAddress): string {
  if (address.kind === 'relay') return RELAY + address.gateway
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** Where others find this machine when nobody says: an address that listens, or the first that is not loopback. */
export function ownHost(listening: string): string {
  if (listening !== '0.0.0.0' && listening !== '::') return listening
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outer = all.find(({ family, internal }) => family === 'IPv4' && !internal)
  return outer?.address ?? '127.0.0.1'
}
