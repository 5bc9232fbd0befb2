/** Paths, headers and refusals of the mesh over HTTP/2. */
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type Settings } from 'node:http2'
import { fromUtf8, utf8 } from '../../../core/codec/bytes.ts'
import { FabricError, isErrorCode } from '../../../core/errors.ts'
import { type PeerId, parsePeerId } from '../../../core/ids.ts'
import { MESH_REJECTS, type MeshLimits, type MeshReject } from './options.ts'

/** The side that dialled calls. */
export const ALPN = 'cfab/1'
/** The side that dialled is called: how a peer behind NAT is reached. */
export const ALPN_REVERSE = 'cfab-reverse/1'

export const HELLO_PATH = '/mesh/v1/hello'
/** To a gateway: a way to the peer that `cfab-peer` names. */
export const RELAY_PATH = '/mesh/v1/relay'
/** From a gateway: bytes of somebody's TLS connection to the peer behind NAT. */
export const RELAYED_PATH = '/mesh/v1/relayed'
const CALL_HEAD = '/mesh/v1/call/'
const STREAM_HEAD = '/mesh/v1/stream/'
const TYPE = /^[a-z0-9][a-z0-9/_.-]{0,63}$/

const CODE = 'cfab-code'
const REASON = 'cfab-reason'
const DEADLINE = 'cfab-deadline-ms'
const PROOF = 'cfab-proof'
const PEER = 'cfab-peer'

export type CallRoute = { readonly kind: 'call' | 'stream'; readonly type: string }
export type Route = { readonly kind: 'hello' | 'relay' | 'relayed' } | CallRoute

export function routeOf(headers: IncomingHttpHeaders): Route | undefined {
  const path = headers[constants.HTTP2_HEADER_PATH]
  if (headers[constants.HTTP2_HEADER_METHOD] !== 'POST' || typeof path !== 'string') return undefined
  if (path === HELLO_PATH) return { kind: 'hello' }
  if (path === RELAY_PATH) return { kind: 'relay' }
  if (path === RELAYED_PATH) return { kind: 'relayed' }
  if (path.startsWith(CALL_HEAD)) return typed('call', path.slice(CALL_HEAD.length))
  return path.startsWith(STREAM_HEAD) ? typed('stream', path.slice(STREAM_HEAD.length)) : undefined
}

export function isCall(route: Route): route is CallRoute {
  return route.kind === 'call' || route.kind === 'stream'
}

function typed(kind: 'call' | 'stream', type: string): Route | undefined {
  return TYPE.test(type) ? { kind, type } : undefined
}

export function callHeaders(
  kind: 'call' | 'stream',
  type: string,
  deadlineMs: number,
  byteCount?: number,
): OutgoingHttpHeaders {
  const path = (kind === 'call' ? CALL_HEAD : STREAM_HEAD) + type
  const size = byteCount === undefined ? {} : { 'content-length': byteCount }
  return { ...post(path), [DEADLINE]: Math.ceil(deadlineMs), ...size }
}

export function helloHeaders(proof: string): OutgoingHttpHeaders {
  return { ...post(HELLO_PATH), [PROOF]: proof }
}

export function relayHeaders(path: string, peer: PeerId): OutgoingHttpHeaders {
  return { ...post(path), [PEER]: peer }
}

function post(path: string): OutgoingHttpHeaders {
  return { [constants.HTTP2_HEADER_METHOD]: 'POST', [constants.HTTP2_HEADER_PATH]: path }
}

export function proofOf(headers: IncomingHttpHeaders): string {
  return textOf(headers, PROOF)
}

export function peerNamed(headers: IncomingHttpHeaders): PeerId | undefined {
  return parsePeerId(textOf(headers, PEER))
}

export function helloAnswer(proof: string): OutgoingHttpHeaders {
  return { ...answerHeaders(), [PROOF]: proof }
}

/** @returns within 1 and the bound; the bound when the caller gave none */
export function deadlineOf(headers: IncomingHttpHeaders, msMax: number): number {
  const ms = Number(textOf(headers, DEADLINE) || msMax)
  return ms >= 1 && ms <= msMax ? ms : msMax
}

/** @returns undefined when the caller did not say it */
export function byteCountOf(headers: IncomingHttpHeaders): number | undefined {
  const text = textOf(headers, constants.HTTP2_HEADER_CONTENT_LENGTH)
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined
}

export function answerHeaders(byteCount?: number): OutgoingHttpHeaders {
  const size = byteCount === undefined ? {} : { [constants.HTTP2_HEADER_CONTENT_LENGTH]: byteCount }
  return { [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK, ...size }
}

export function refusalAnswer(refusal: FabricError): OutgoingHttpHeaders {
  return { [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_BAD_REQUEST, ...refusalHeaders(refusal) }
}

/** Why only the code or an enumerated reason crosses: a message of this side is not the other side's business. */
function refusalHeaders(refusal: FabricError): OutgoingHttpHeaders {
  const { code, reason } = refusal.detail
  if (typeof code === 'string') return { [CODE]: code }
  return typeof reason === 'string' ? { [REASON]: reason } : {}
}

export function refusalOf(headers: IncomingHttpHeaders): FabricError {
  return refusalNamed(textOf(headers, CODE) || textOf(headers, REASON))
}

/** A refusal as it came; a name that is in none of our tables is left out. */
function refusalNamed(name: string): FabricError {
  if (isErrorCode(name)) return new FabricError('CF_MESH_REFUSED', { code: name })
  return isReject(name) ? refused(name) : new FabricError('CF_MESH_REFUSED')
}

/** How a stream ended, as bytes behind its last frame. @param refusal  absent: its handler returned */
export function whyOf(refusal?: FabricError): Uint8Array {
  const { code, reason } = refusal?.detail ?? {}
  return utf8(String(code ?? reason ?? ''))
}

/** @returns undefined for a normal end */
export function refusalOfWhy(why: Uint8Array): FabricError | undefined {
  return why.length === 0 ? undefined : refusalNamed(fromUtf8(why) ?? '')
}

export function refused(reason: MeshReject): FabricError {
  return new FabricError('CF_MESH_REFUSED', { reason })
}

export function unreachable(peer: PeerId, cause?: unknown): FabricError {
  return new FabricError('CF_MESH_PEER_UNREACHABLE', { peer }, cause)
}

export function broken(): FabricError {
  return new FabricError('CF_MESH_STREAM_BROKEN')
}

function isReject(text: string): text is MeshReject {
  return (MESH_REJECTS as readonly string[]).includes(text)
}

function textOf(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name]
  return typeof value === 'string' ? value : ''
}

const HEADER_BYTES_MAX = 4_096
const STREAM_WINDOW_BYTES = 262_144
/** Never the narrowest place: what is held for others is counted in `Room`, by whose it is. */
const SESSION_WINDOW_BYTES = 134_217_728
const SESSION_MEMORY_MIB = 64

/** Bounds that node:http2 keeps for us, on both sides. */
export function sessionOptions(limits: MeshLimits) {
  const settings: Settings = {
    enablePush: false,
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxConcurrentStreams: limits.handlersPerPeerMax * 2,
    maxHeaderListSize: HEADER_BYTES_MAX,
  }
  return {
    settings,
    maxHeaderListPairs: 16,
    maxSendHeaderBlockLength: HEADER_BYTES_MAX,
    maxSessionMemory: SESSION_MEMORY_MIB,
    maxOutstandingPings: 8,
    maxSettings: 8,
    maxSessionInvalidFrames: 16,
    maxSessionRejectedStreams: 64,
    maxReservedRemoteStreams: 0,
    unknownProtocolTimeout: limits.handshakeMs,
  }
}

export function widen(session: { setLocalWindowSize(bytes: number): void }): void {
  session.setLocalWindowSize(SESSION_WINDOW_BYTES)
}
