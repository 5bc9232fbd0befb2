/** A gateway's work: carries the bytes of one peer's TLS connection to another peer that it keeps a link of, and reads none. */
import { constants, type Http2Stream, type ServerHttp2Stream } from 'node:http2'
import type { PeerId } from '../../../core/ids.ts'
import type { Clock } from '../../runtime/ports.ts'
import { Call } from '../call.ts'
import type { Caller } from './caller.ts'
import type { MeshLimits } from './options.ts'
import { answerHeaders, RELAYED_PATH, refused } from './wire.ts'

export type RelayPorts = {
  readonly clock: Clock
  readonly linkOf: (peer: PeerId) => Caller | undefined
}

export class Relay {
  readonly #limits: MeshLimits
  readonly #ports: RelayPorts
  /** Relayed connections by either end. */
  readonly #counts = new Map<PeerId, number>()
  #count = 0

  constructor(limits: MeshLimits, ports: RelayPorts) {
    this.#limits = limits
    this.#ports = ports
  }

  /** @throws CF_MESH_REFUSED when the target has no link here, or too much is relayed already */
  async serve(stream: ServerHttp2Stream, from: PeerId, target: PeerId): Promise<void> {
    const link = this.#ports.linkOf(target)
    if (link === undefined) throw refused('relay_unknown')
    const { relaysMax, relaysPerPeerMax } = this.#limits
    const busiest = Math.max(this.#counts.get(from) ?? 0, this.#counts.get(target) ?? 0)
    if (this.#count >= relaysMax || busiest >= relaysPerPeerMax) throw refused('relay_full')
    this.#add(from, target, 1)
    stream.once('close', () => this.#add(from, target, -1))
    const call = new Call({ deadlineMs: this.#limits.dialMs }, this.#ports.clock)
    try {
      const onward = await link.tunnel(RELAYED_PATH, from, call)
      // Who asked may have gone meanwhile.
      if (stream.closed || stream.destroyed) {
        onward.close(constants.NGHTTP2_CANCEL)
        return
      }
      stream.respond(answerHeaders())
      join(stream, onward)
    } finally {
      call.end()
    }
  }

  #add(from: PeerId, target: PeerId, change: 1 | -1): void {
    this.#count += change
    for (const peer of new Set([from, target])) {
      const count = (this.#counts.get(peer) ?? 0) + change
      if (count === 0) this.#counts.delete(peer)
      else this.#counts.set(peer, count)
    }
  }
}

/** Both ways, each as fast as the other side reads; when one side is gone, so is the other. */
function join(a: Http2Stream, b: Http2Stream): void {
  a.pipe(b)
  b.pipe(a)
  a.once('close', () => b.close(constants.NGHTTP2_CANCEL))
  b.once('close', () => a.close(constants.NGHTTP2_CANCEL))
}
