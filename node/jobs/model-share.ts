/**
 * Hands model files to other members: `model/have` says how long a file is, `model/read` gives a part of it. A file is named by its
 * digest and nothing else, so a request can reach no other file of the machine.
 */
import { open } from 'node:fs/promises'
import { toHex } from '../../core/codec/bytes.ts'
import { bytesMax, defineBody, digest, u32, u64 } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { type Digest, digestBytes, type PeerId } from '../../core/ids.ts'
import type { SharedFile } from '../../models/shared-files.ts'
import { Rates } from '../mesh/tls/rate.ts'
import type { Clock, PeerTransport } from '../runtime/ports.ts'
import { taken } from './taken.ts'

export type ModelShareOptions = {
  /** Reads of one peer and of all, in a second: with 512 KiB each, 16 and 64 MiB/s. */
  readonly readsPerPeerSecond?: number
  readonly readsPerSecond?: number
  /** Reads under way at once. */
  readonly readsPerPeerMax?: number
  readonly readCountMax?: number
}
export type ModelSharePorts = {
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly isMember: (peer: PeerId) => boolean
  /** By digest, lowercase hex; asked again every few seconds. */
  readonly files: () => Promise<ReadonlyMap<string, SharedFile>>
}

export const MODEL_READ_BYTES_MAX = 524_288
export const modelAskCodec = defineBody('model-ask', { digest: digest() }, 64)
export const modelSizeCodec = defineBody('model-size', { bytes: u64() }, 32)
export const modelReadCodec = defineBody('model-read', { digest: digest(), offset: u64(), length: u32() }, 96)
export const modelPieceCodec = defineBody(
  'model-piece',
  { bytes: bytesMax(MODEL_READ_BYTES_MAX) },
  MODEL_READ_BYTES_MAX + 64,
)

const DEFAULTS = { readsPerPeerSecond: 32, readsPerSecond: 128, readsPerPeerMax: 2, readCountMax: 8 }
const FILES_MS = 5_000
const EVERYBODY = 'all'

/** Registers both messages. */
export function createModelShare(options: ModelShareOptions, ports: ModelSharePorts): void {
  const share = new Share({ ...DEFAULTS, ...options }, ports)
  ports.transport.onMessage('model/have', async (from, body) => {
    const { bytes } = await share.fileOf(from, taken(modelAskCodec.decode(body)).digest)
    return modelSizeCodec.encode({ bytes: BigInt(bytes) })
  })
  ports.transport.onMessage('model/read', async (from, body) => {
    const { digest, offset, length } = taken(modelReadCodec.decode(body))
    return modelPieceCodec.encode({ bytes: await share.read(from, digest, offset, length) })
  })
}

class Share {
  readonly #options: Required<ModelShareOptions>
  readonly #ports: ModelSharePorts
  readonly #ofPeer: Rates
  readonly #ofAll: Rates
  /** Reads under way, by peer; a peer without one is not in it. */
  readonly #reading = new Map<PeerId, number>()
  #readCount = 0
  #files: { readonly atMs: number; readonly byDigest: Promise<ReadonlyMap<string, SharedFile>> } | undefined

  constructor(options: Required<ModelShareOptions>, ports: ModelSharePorts) {
    this.#options = options
    this.#ports = ports
    this.#ofPeer = new Rates(options.readsPerPeerSecond, options.readsPerPeerSecond, ports.clock)
    this.#ofAll = new Rates(options.readsPerSecond, options.readsPerSecond, ports.clock)
  }

  /** @throws CF_MESH_REFUSED for a stranger, CF_CONTROL_RATE_LIMITED, CF_MODEL_UNKNOWN */
  async fileOf(from: PeerId, digest: Digest): Promise<SharedFile> {
    if (!this.#ports.isMember(from)) throw new FabricError('CF_MESH_REFUSED', { reason: 'stranger' })
    if (!this.#ofPeer.take(from)) throw new FabricError('CF_CONTROL_RATE_LIMITED')
    const file = (await this.#known()).get(toHex(digestBytes(digest)))
    if (file === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    return file
  }

  /** @throws also CF_CONTROL_BAD_REQUEST for a place beyond the file's end */
  async read(from: PeerId, digest: Digest, offset: bigint, length: number): Promise<Uint8Array> {
    const file = await this.fileOf(from, digest)
    const left = BigInt(file.bytes) - offset
    if (left <= 0n || length === 0) throw new FabricError('CF_CONTROL_BAD_REQUEST', { reason: 'range_invalid' })
    const count = Math.min(length, MODEL_READ_BYTES_MAX, Number(left))
    return this.#oneOfFew(from, () => readPiece(file.path, Number(offset), count))
  }

  async #oneOfFew<T>(from: PeerId, work: () => Promise<T>): Promise<T> {
    const { readsPerPeerMax, readCountMax } = this.#options
    const own = this.#reading.get(from) ?? 0
    if (own >= readsPerPeerMax || this.#readCount >= readCountMax || !this.#ofAll.take(EVERYBODY))
      throw new FabricError('CF_CONTROL_RATE_LIMITED')
    this.#reading.set(from, own + 1)
    this.#readCount += 1
    try {
      return await work()
    } finally {
      const left = (this.#reading.get(from) ?? 1) - 1
      if (left === 0) this.#reading.delete(from)
      else this.#reading.set(from, left)
      this.#readCount -= 1
    }
  }

  #known(): Promise<ReadonlyMap<string, SharedFile>> {
    const nowMs = this.#ports.clock.nowMs()
    if (this.#files === undefined || Math.abs(nowMs - this.#files.atMs) >= FILES_MS)
      this.#files = { atMs: nowMs, byDigest: this.#ports.files() }
    return this.#files.byDigest
  }
}

/** @throws CF_MODEL_UNKNOWN when the file went meanwhile */
async function readPiece(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
