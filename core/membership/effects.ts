/** What the membership machine hears and what it asks for: all that it has of time, of chance and of the world. */
import type { PeerId } from '../ids.ts'
import type { RecordVersion } from '../roster/record.ts'
import type { Gossip } from './rumours.ts'
import type { Word } from './word.ts'

export type SwimEvent<W extends Word> =
  /** @param wallMs  for incarnations; `nowMs` only goes forward */
  | { readonly type: 'tick'; readonly nowMs: number; readonly wallMs: number }
  /** From a message or its answer; `from` is authenticated by the transport, the words are verified and their peers admitted. */
  | {
      readonly type: 'heard'
      readonly from: PeerId
      readonly gossip: Gossip<W>
      readonly nowMs: number
      /** It was asked for: what this node lacked others have, and need not hear from it. */
      readonly isPulled?: boolean
    }
  | {
      readonly type: 'acked'
      readonly probe: number
      readonly peer: PeerId
      readonly rttMs: number
      readonly nowMs: number
    }
  /** The peer could not be reached, or its time is up. */
  | { readonly type: 'failed'; readonly probe: number; readonly nowMs: number }
  /** What a helper found; `silent` when the helper itself did not answer. */
  | {
      readonly type: 'helped'
      readonly probe: number
      readonly answer: 'reached' | 'unreached' | 'silent'
      readonly nowMs: number
    }
  /** This node's record has something new to say. */
  | { readonly type: 'announce'; readonly nowMs: number }
  | { readonly type: 'signed'; readonly word: W; readonly nowMs: number }
  | { readonly type: 'leave'; readonly nowMs: number }

export type SwimEffect<W extends Word> =
  | {
      readonly type: 'ping'
      readonly peer: PeerId
      readonly probe: number
      readonly deadlineMs: number
      readonly gossip: Gossip<W>
    }
  | {
      readonly type: 'ping-req'
      readonly helper: PeerId
      readonly peer: PeerId
      readonly probe: number
      readonly deadlineMs: number
      readonly gossip: Gossip<W>
    }
  /** A ping of which only the gossip counts. */
  | { readonly type: 'gossip'; readonly peer: PeerId; readonly gossip: Gossip<W> }
  /** Compare digests with this peer. */
  | { readonly type: 'sync'; readonly peer: PeerId }
  /** Seal what this node says of itself under this version, at once, and give it back as `signed`. */
  | { readonly type: 'sign'; readonly version: RecordVersion }
  | { readonly type: 'changed'; readonly peer: PeerId }
