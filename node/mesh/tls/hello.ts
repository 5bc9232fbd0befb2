/**
 * The first exchange of a session: in a private swarm both sides prove that they know the swarm's key, bound to this very TLS
 * session by an exporter (RFC 8446, 7.5), so that a proof is worth nothing anywhere else.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { FabricError } from '../../../core/errors.ts'

const EXPORTER_LABEL = 'EXPORTER-cfab-swarm-key-v1'
const EXPORTER_BYTES = 32
const KEY_BYTES_MIN = 32

/** The HTTP/2 client is the caller. Why roles: a proof that is sent back is not a proof. */
export type Role = 'caller' | 'called'

/** @throws CF_CONFIG_INVALID for a key that is too short to be one: an empty key must not make a swarm that looks private */
export function checkSwarmKey(swarmKey: Uint8Array | null): void {
  if (swarmKey !== null && swarmKey.length < KEY_BYTES_MIN)
    throw new FabricError('CF_CONFIG_INVALID', { key: 'swarm key', bytes: swarmKey.length, bytesMin: KEY_BYTES_MIN })
}

/** @returns lowercase hex; empty in a public swarm */
export function proofFor(role: Role, swarmKey: Uint8Array | null, socket: TLSSocket): string {
  if (swarmKey === null) return ''
  const exported = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.from(role))
  return createHmac('sha256', swarmKey).update(`cfab/swarm-key/v1\0${role}\0`).update(exported).digest('hex')
}

/** @param role  of the side that made the proof */
export function isProved(proof: string, role: Role, swarmKey: Uint8Array | null, socket: TLSSocket): boolean {
  if (swarmKey === null) return true
  const expected = Buffer.from(proofFor(role, swarmKey, socket))
  const given = Buffer.from(proof)
  return given.length === expected.length && timingSafeEqual(given, expected)
}
