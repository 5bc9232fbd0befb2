/** Finds members that hold a model file and reads from them: what a pull asks before it asks a hub. */
import { FabricError } from '../../core/errors.ts'
import { type Digest, type PeerId, parseDigest } from '../../core/ids.ts'
import type { PeerFile, PeerFiles } from '../../models/fetch/peers.ts'
import type { Clock, PeerTransport } from '../runtime/ports.ts'
import { MODEL_READ_BYTES_MAX, modelAskCodec, modelPieceCodec, modelReadCodec, modelSizeCodec } from './model-share.ts'

export type ModelPeersOptions = {
  /** For one answer. */
  readonly askMs?: number
  /** For one piece: who needs longer gives less than 100 KiB in a second, and the next one is asked. */
  readonly readMs?: number
}
export type ModelPeersPorts = {
  readonly transport: PeerTransport
  readonly clock: Clock
  /** Members that may hold the file, the best first: those whose records name the digest, near ones before far ones. */
  readonly holders: (digest: Digest) => readonly PeerId[]
  /** Called for a peer that gave another file under the digest. */
  readonly onLie?: (peer: PeerId) => void
}

const DEFAULTS = { askMs: 2_000, readMs: 5_000 }
const ASKED_MAX = 16
/** A busy peer is asked again this often, each time after a longer wait. */
const BUSY_MAX = 6
const BUSY_MS = 100
const BUSY_REASONS = ['rate', 'too_many_calls', 'too_many_bytes']

export function createModelPeers(options: ModelPeersOptions, ports: ModelPeersPorts): PeerFiles {
  const { askMs, readMs } = { ...DEFAULTS, ...options }
  const { transport, holders } = ports
  return {
    async find(hex, signal) {
      const digest = parseDigest(hex)
      if (digest === undefined) return []
      const asked = holders(digest).filter((peer) => peer !== transport.self)
      const files = asked.slice(0, ASKED_MAX).map((peer) => fileAt(ports, peer, { digest, askMs, readMs }, signal))
      const found = await Promise.all(files)
      return found.filter((file) => file !== undefined)
    },
  }
}

type Wish = { readonly digest: Digest; readonly askMs: number; readonly readMs: number }

/** @returns undefined when the peer has it not, or does not answer */
async function fileAt(
  ports: ModelPeersPorts,
  peer: PeerId,
  wish: Wish,
  signal: AbortSignal,
): Promise<PeerFile | undefined> {
  const { transport, onLie } = ports
  const body = modelAskCodec.encode({ digest: wish.digest })
  try {
    const answer = await transport.request(peer, 'model/have', body, { deadlineMs: wish.askMs, signal })
    const decoded = modelSizeCodec.decode(answer)
    if (decoded.action !== 'accept' || decoded.value.bytes > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
    return {
      bytes: Number(decoded.value.bytes),
      read: (offset, length, until) => readAt(ports, peer, wish, { offset, length }, until),
      distrust: () => onLie?.(peer),
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FabricError) return undefined
    throw error
  }
}

/** @throws FabricError CF_MESH_*, also from a peer that said too often that it is busy */
async function readAt(
  { transport, clock }: ModelPeersPorts,
  peer: PeerId,
  { digest, readMs }: Wish,
  { offset, length }: { readonly offset: number; readonly length: number },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const body = modelReadCodec.encode({
    ...{ digest, offset: BigInt(offset), length: Math.min(length, MODEL_READ_BYTES_MAX) },
  })
  for (let busyCount = 1; ; busyCount += 1) {
    try {
      const answer = await transport.request(peer, 'model/read', body, { deadlineMs: readMs, signal })
      const decoded = modelPieceCodec.decode(answer)
      if (decoded.action !== 'accept') throw new FabricError('CF_MESH_REFUSED', { reason: decoded.reason })
      return decoded.value.bytes
    } catch (error) {
      if (!isBusy(error) || busyCount >= BUSY_MAX) throw error
      await clock.sleep(BUSY_MS * 2 ** busyCount, signal)
    }
  }
}

/** Said by the share, or by the transport for it. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof FabricError) || error.code !== 'CF_MESH_REFUSED') return false
  const { code, reason } = error.detail
  return code === 'CF_CONTROL_RATE_LIMITED' || (typeof reason === 'string' && BUSY_REASONS.includes(reason))
}
