/** A worker's copies of its chunk headers to the witnesses of its stream: they never make the stream itself wait. */
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import type { PeerStream, PeerTransport } from '../runtime/ports.ts'
import { type Watch, watchCodec } from './witness.ts'

/** Headers that wait for a witness: one that is this far behind is given up, and says nothing about the stream. */
const WAITING_MAX = 256
/** As long as any job may last. */
const STREAM_MS = 600_000
/** What is on its way when the worker is done has so long to arrive; a stream that never opened is given up then. */
const FLUSH_MS = 2_000

type Line = { readonly waiting: Uint8Array[]; wake: () => void; isOver: boolean }

export class HeaderCopies {
  readonly #lines: readonly Line[]
  readonly #over = new AbortController()

  constructor(transport: PeerTransport, witnesses: readonly PeerId[], watch: Watch) {
    this.#lines = witnesses.map((witness) => {
      const line: Line = { waiting: [], wake: () => undefined, isOver: false }
      // A witness that is away sees nothing: the others do, and the client's stream is not its affair.
      feed(line, transport, witness, { watch, signal: this.#over.signal }).catch(() => giveUp(line))
      return line
    })
  }

  /** @param envelope  a sealed `chunk` */
  send = (envelope: Uint8Array): void => {
    for (const line of this.#lines) {
      if (line.isOver) continue
      if (line.waiting.push(envelope) > WAITING_MAX) giveUp(line)
      line.wake()
    }
  }

  /** No header follows; those that wait are still sent. */
  close(): void {
    for (const line of this.#lines) {
      line.isOver = true
      line.wake()
    }
    const stop = (): void => this.#over.abort(new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'over' }))
    AbortSignal.timeout(FLUSH_MS).addEventListener('abort', stop, { once: true })
  }
}

function giveUp(line: Line): void {
  line.isOver = true
  line.waiting.length = 0
}

type Feed = { readonly watch: Watch; readonly signal: AbortSignal }

async function feed(line: Line, transport: PeerTransport, witness: PeerId, { watch, signal }: Feed): Promise<void> {
  let stream: PeerStream | undefined
  try {
    while (!line.isOver || line.waiting.length > 0) {
      const envelope = line.waiting.shift()
      if (envelope === undefined) {
        await new Promise<void>((resolve) => {
          line.wake = resolve
        })
        continue
      }
      stream ??= await transport.openStream(witness, 'witness/watch', watchCodec.encode(watch), {
        deadlineMs: STREAM_MS,
        signal,
      })
      await stream.send(envelope)
    }
    stream?.end()
  } catch (error) {
    stream?.destroy()
    throw error
  }
}
