/** Opens membership's messages: what is new is verified before anything remembers it, and what is wrong is held against the sender. */

import type { BodyCodec } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import type { PeerId, SwarmId } from '../../core/ids.ts'
import type { WireGossip } from '../../core/membership/messages.ts'
import type { SwimOptions } from '../../core/membership/options.ts'
import type { Gossip } from '../../core/membership/rumours.ts'
import { freshness, openWord, type SealedWord } from '../../core/membership/word.ts'
import type { RecordVersion } from '../../core/roster/record.ts'
import type { PenaltyReason } from '../runtime/mesh.ts'
import type { Clock } from '../runtime/ports.ts'

/** What was not taken in, and why. */
export type MembershipCounts = {
  malformed: number
  invalid: number
  /** Older than records may be. */
  old: number
  /** Ahead of this node's clock. */
  ahead: number
  /** Of peers that nobody let in, as far as this node knows. */
  strange: number
}

export type WireOptions = { readonly swarmId: SwarmId; readonly swim: SwimOptions }
export type WirePorts = {
  readonly clock: Clock
  readonly admitted: (peer: PeerId) => boolean
  readonly misbehaved: (peer: PeerId, reason: PenaltyReason) => void
  readonly isNews: (peer: PeerId, version: RecordVersion) => boolean
}

export class MembershipWire {
  readonly counts: MembershipCounts = { malformed: 0, invalid: 0, old: 0, ahead: 0, strange: 0 }
  readonly #options: WireOptions
  readonly #ports: WirePorts

  constructor(options: WireOptions, ports: WirePorts) {
    this.#options = options
    this.#ports = ports
  }

  /** @throws FabricError CF_MESH_REFUSED when these bytes are no such body */
  open<T>(codec: BodyCodec<T>, from: PeerId, body: Uint8Array): T {
    const decoded = codec.decode(body)
    if (decoded.action === 'accept') return decoded.value
    this.counts.malformed += 1
    this.#ports.misbehaved(from, 'malformed')
    throw new FabricError('CF_MESH_REFUSED', { reason: 'malformed' })
  }

  /** What is new and true of it. */
  gossip(from: PeerId, { words, accusations }: WireGossip): Gossip<SealedWord> {
    const opened = words.map((word) => this.#word(from, word)).filter((word) => word !== undefined)
    return { words: opened, accusations }
  }

  #word(from: PeerId, word: WireGossip['words'][number]): SealedWord | undefined {
    if (!this.#ports.isNews(word.peer, word) || !this.#isTimely(from, word)) return undefined
    if (!this.#ports.admitted(word.peer)) {
      this.counts.strange += 1
      return undefined
    }
    const opened = openWord(word, word.envelope, this.#options.swarmId)
    if (opened.action === 'accept') return opened.value
    this.counts.invalid += 1
    const isForged = opened.reason === 'signature_invalid' || opened.reason === 'signer_mismatch'
    this.#ports.misbehaved(from, isForged ? 'signature_invalid' : 'malformed')
    return undefined
  }

  #isTimely(from: PeerId, version: RecordVersion): boolean {
    const { recordTtlMs, recordAheadMs } = this.#options.swim
    const wallMs = this.#ports.clock.nowMs()
    const found = freshness(version, { wallMs, recordTtlMs, recordAheadMs })
    if (found === 'fresh') return true
    this.counts[found] += 1
    // Clocks may differ: a record that has only just become too old here is still good at the sender's.
    const isStale = freshness(version, { wallMs: wallMs - 2 * recordAheadMs, recordTtlMs, recordAheadMs }) === 'old'
    if (isStale) this.#ports.misbehaved(from, 'stale_record')
    return false
  }
}
