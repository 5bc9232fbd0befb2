/** The worker's side of a token stream: tokens at once, and every 64 tokens or 250 ms a signed chunk header that chains them. */
import { idsToBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { encodeEnvelope, readAs, seal } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, PeerId, SwarmId } from '../../core/ids.ts'
import {
  ackCodec,
  acknowledgeUnverified,
  type ChainState,
  chunkCodec,
  extendChain,
  mustWait,
  nextChunk,
  openChain,
} from '../../core/latency/chain.ts'
import { LINKS_MAX, type Link, NOTHING_SHOWN, type ShownChain } from '../../core/latency/links.ts'
import { LIMITS } from '../../core/limits.ts'
import type { TokenDetail } from '../../models/backend.ts'
import type { Clock, PeerStream } from '../runtime/ports.ts'
import { wireDetail } from './details.ts'
import { frame } from './frames.ts'
import { taken } from './taken.ts'

export type ChunkWriterPorts = {
  readonly key: KeyPair
  readonly clock: Clock
  readonly swarmId: SwarmId
  /** The only signer whose acknowledgements count. */
  readonly receiver: PeerId
  readonly jobId: JobId
  readonly attempt: number
  readonly replica: number
  /** 16 bytes, echoed until an acknowledgement brings a fresher one. */
  readonly nonce: Uint8Array
  readonly signal: AbortSignal
  /** Gets every sealed header too; returns at once. */
  readonly copy?: (envelope: Uint8Array) => void
}

export type ClosedChain = { readonly head: Digest; readonly count: number; readonly shown: ShownChain }

/** A receiver that stops acknowledging stops the chain, not the worker's machine: after this the stream is given up. */
const ACK_WAIT_MS = 10_000
/** UTF-16 units of text in one frame: at most three bytes each, within the frame's 64 KiB. */
const TEXT_UNITS_MAX = 20_000

export class ChunkWriter {
  readonly #ports: ChunkWriterPorts
  readonly #stream: PeerStream
  readonly #ids: number[] = []
  #text = ''
  #chunked = 0
  /** What of each header is shown with the output. */
  readonly #links: Link[] = []
  #chain: ChainState
  #openedNs: bigint
  #wake: () => void = () => undefined

  constructor(ports: ChunkWriterPorts, stream: PeerStream) {
    this.#ports = ports
    this.#stream = stream
    const { swarmId, jobId, attempt, replica, receiver, nonce, key, clock } = ports
    this.#chain = openChain({ swarmId, jobId, attempt, replica, worker: key.peer, receiver, nonce })
    this.#openedNs = clock.monotonicNs()
  }

  get ids(): readonly number[] {
    return this.#ids
  }

  get text(): string {
    return this.#text
  }

  /** Tokens leave at once; their chunk header follows when it is full or due. */
  async tokens(ids: readonly number[], text: string, details: readonly TokenDetail[] = []): Promise<void> {
    this.#ids.push(...ids)
    this.#text += text
    await this.#send(ids, text, details)
    while (this.#ids.length - this.#chunked >= LIMITS.chunkTokensMax) await this.#sendChunk(LIMITS.chunkTokensMax)
    const dueNs = this.#openedNs + BigInt(LIMITS.chunkMs) * 1_000_000n
    if (this.#ids.length > this.#chunked && this.#ports.clock.monotonicNs() >= dueNs)
      await this.#sendChunk(this.#ids.length - this.#chunked)
  }

  /** Tokens of an earlier run, whose chain was closed then; how likely they were is forgotten. */
  async replayed(ids: readonly number[], text: string): Promise<void> {
    await this.#send(ids, text, [])
  }

  /** @param envelope  the receiver's signed acknowledgement; one that does not fit the chain is ignored */
  acknowledged(envelope: Uint8Array): void {
    const ack = readAs(ackCodec, envelope, this.#ports.swarmId)
    if (ack.action !== 'accept') return
    const next = acknowledgeUnverified(this.#chain, ack.value)
    if (next.action !== 'accept') return
    this.#chain = next.value
    this.#wake()
  }

  /** Chunks what is left. */
  async close(): Promise<ClosedChain> {
    if (this.#ids.length > this.#chunked) await this.#sendChunk(this.#ids.length - this.#chunked)
    const { head, chunkCount: count } = this.#chain
    const isShown = count > 0 && count <= LINKS_MAX
    const shown = isShown ? { nonce: this.#ports.nonce, links: this.#links } : NOTHING_SHOWN
    return { head, count, shown }
  }

  async #send(ids: readonly number[], text: string, details: readonly TokenDetail[]): Promise<void> {
    // A batch's text belongs to its last ids: a character may need several tokens.
    const [first = '', ...rest] = piecesOf(text)
    const step = details.length > 0 ? LIMITS.detailCountMax : LIMITS.chunkTokensMax
    for (let start = 0; start === 0 || start < ids.length; start += step) {
      const part = { ids: idsToBytes(ids.slice(start, start + step)), text: start + step >= ids.length ? first : '' }
      const shown = details.slice(start, start + step).map(wireDetail)
      await this.#stream.send(frame({ kind: 'tokens', ...part, details: shown }))
    }
    for (const piece of rest) await this.#stream.send(frame({ kind: 'tokens', text: piece }))
  }

  async #sendChunk(tokenCount: number): Promise<void> {
    const { key, clock, swarmId } = this.#ports
    if (mustWait(this.#chain)) await this.#ackOrGone()
    const ids = this.#ids.slice(this.#chunked, this.#chunked + tokenCount)
    const value = nextChunk(this.#chain, ids, clock.monotonicNs())
    const body = chunkCodec.encode(value)
    this.#chain = taken(extendChain(this.#chain, { value, signer: key.peer, body }))
    if (this.#links.length < LINKS_MAX) this.#links.push(value)
    this.#chunked += tokenCount
    this.#openedNs = clock.monotonicNs()
    const envelope = encodeEnvelope(seal('chunk', swarmId, body, key))
    this.#ports.copy?.(envelope)
    await this.#stream.send(frame({ kind: 'chunk', envelope }))
  }

  async #ackOrGone(): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    const timer = new AbortController()
    const waited = this.#ports.clock
      .sleep(ACK_WAIT_MS, AbortSignal.any([timer.signal, this.#ports.signal]))
      .catch(() => undefined)
    await Promise.race([woken, waited])
    timer.abort()
    if (mustWait(this.#chain)) throw new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'no_acknowledgement' })
  }
}

/** Cuts a text into pieces that fit a frame, never between the halves of a surrogate pair. */
function piecesOf(text: string): readonly string[] {
  const pieces: string[] = []
  for (let start = 0; start < text.length; ) {
    const cut = start + TEXT_UNITS_MAX
    const end = /[\ud800-\udbff]/.test(text.charAt(cut - 1)) ? cut - 1 : cut
    pieces.push(text.slice(start, end))
    start = end
  }
  return pieces
}
