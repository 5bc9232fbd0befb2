/** A model file from other nodes that hold it: whoever goes on where another broke off, and nothing counts before the digest does. */
import { FabricError } from '../../core/errors.ts'
import type { PullEvent } from './download.ts'
import type { PartFile } from './part.ts'

/** A file as one node offers it. */
export type PeerFile = {
  /** Of the whole file. */
  readonly bytes: number
  /** @returns at least one and at most `length` bytes. @throws FabricError when the peer does not give them in time */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
  /** Said of a peer that gave a whole file of another digest. */
  distrust(): void
}
export type PeerFiles = {
  /** Those that hold the file now, the best first; it asks few and not for long. */
  find(digest: string, signal: AbortSignal): Promise<readonly PeerFile[]>
}
type Wanted = { readonly digest: string; readonly bytes?: number }
type Ports = {
  readonly peers: PeerFiles
  readonly onEvent: (event: PullEvent) => void
  /** @throws CF_MODEL_DISK_FULL */
  readonly ensureRoom: (bytesLeft: number) => Promise<void>
}
/** `spoilt`: what has come is not the file. */
type Read = 'whole' | 'broken' | 'spoilt'

/** What one request asks for; below what any transport carries in one message. */
const READ_BYTES = 524_288
/** Peers that are asked for the whole file alone, once a file of several was not the one. */
const ALONE_MAX = 3

/**
 * Completes a part from peers, as far as they go.
 *
 * First whoever has the next bytes gives them. When the whole of that has another digest, somebody lied and nobody knows who: then
 * one peer after the other gives all of it, and the one that still has another file is known.
 *
 * @returns whether the file is whole and is the one that is wanted; what is left otherwise may be gone on with
 * @throws  FabricError CF_MODEL_DISK_FULL, CF_MODEL_STORE_FAILED; the signal's reason
 */
export async function fillFromPeers(
  part: PartFile,
  wanted: Wanted,
  ports: Ports,
  signal: AbortSignal,
): Promise<boolean> {
  const { digest } = wanted
  const found = await ports.peers.find(digest, signal)
  const bytes = wanted.bytes ?? (part.facts.digest === digest ? part.facts.bytes : undefined) ?? found[0]?.bytes
  const holders = found.filter((file) => file.bytes === bytes)
  if (bytes === undefined || holders.length === 0) return false
  const isSame = part.facts.digest === digest && part.facts.bytes === bytes && part.bytes <= bytes
  if (!isSame) await part.restart({ digest, bytes })
  await ports.ensureRoom(bytes - part.bytes)
  const together = await readTogether(part, holders, bytes, ports, signal)
  if (together !== 'spoilt') return together === 'whole'
  for (const holder of holders.slice(0, ALONE_MAX)) {
    await part.restart({ digest, bytes })
    const alone = await readFrom(part, holder, bytes, ports, signal)
    if (alone === 'whole') return true
    if (alone === 'spoilt') holder.distrust()
  }
  // What has come since may be a liar's too: the source begins again.
  await part.restart({})
  return false
}

async function readTogether(
  part: PartFile,
  holders: readonly PeerFile[],
  bytes: number,
  ports: Ports,
  signal: AbortSignal,
): Promise<Read> {
  for (const holder of holders) {
    const read = await readFrom(part, holder, bytes, ports, signal)
    if (read !== 'broken') return read
  }
  return 'broken'
}

/** Asks for the next piece while the one before it is written. */
async function readFrom(
  part: PartFile,
  holder: PeerFile,
  bytes: number,
  { onEvent }: Ports,
  signal: AbortSignal,
): Promise<Read> {
  const ahead = (offset: number): Promise<Uint8Array | undefined> => {
    const length = Math.min(READ_BYTES, bytes - offset)
    const piece = length === 0 ? Promise.resolve(undefined) : pieceOf(holder, offset, length, signal)
    // Nobody waits for it where the piece before it was the last one that was wanted.
    piece.catch(() => undefined)
    return piece
  }
  let next = ahead(part.bytes)
  while (part.bytes < bytes) {
    const piece = await next
    if (piece === undefined) return 'broken'
    next = ahead(part.bytes + piece.length)
    await part.append(piece)
    if (!isOfKind(part)) return 'spoilt'
    onEvent({ type: 'bytes', done: part.bytes, total: bytes })
  }
  return part.digest() === part.facts.digest ? 'whole' : 'spoilt'
}

/** @returns undefined when the peer gives nothing that can be used */
async function pieceOf(
  holder: PeerFile,
  offset: number,
  length: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    const piece = await holder.read(offset, length, signal)
    return piece.length > 0 && piece.length <= length ? piece : undefined
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FabricError) return undefined
    throw error
  }
}

function isOfKind(part: PartFile): boolean {
  try {
    part.checkKind()
    return true
  } catch {
    return false
  }
}
