/** Where peers are and what they may ask: by membership, and before it knows anybody by what the invite and the last run said. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { type PeerId, parsePeerId } from '../../core/ids.ts'
import { isAdmitted } from '../../core/log/standing.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Directory, PeerAddress, PeerSight } from '../runtime/mesh.ts'
import { parseAddress } from './address.ts'

export type KnownPeer = { readonly peer: PeerId; readonly addresses: readonly string[] }

/** Kept for the next start: enough that one of them is still there. */
const KNOWN_MAX = 64

export class PeerDirectory implements Directory {
  readonly #path: string
  readonly #hints = new Map<PeerId, readonly string[]>()
  /** Newer than the hints, once it runs. */
  sights: ((peer: PeerId) => PeerSight | undefined) | undefined
  /** Says who is in, once the log is followed. */
  state: (() => LogState) | undefined

  /** @param path  where known peers are kept */
  constructor(path: string) {
    this.#path = path
  }

  addressesOf(peer: PeerId): readonly PeerAddress[] {
    const said = this.sights?.(peer)?.record.addresses ?? []
    const texts = new Set([...said, ...(this.#hints.get(peer) ?? [])])
    return [...texts].flatMap((text) => parseAddress(text) ?? [])
  }

  /** Before the log is followed only those are in whom this node was told to ask. */
  standingOf(peer: PeerId): 'member' | 'stranger' {
    const known = this.state === undefined ? this.#hints.has(peer) : isAdmitted(this.state(), peer)
    return known ? 'member' : 'stranger'
  }

  hint({ peer, addresses }: KnownPeer): void {
    this.#hints.set(peer, addresses)
  }

  get hinted(): readonly PeerId[] {
    return [...this.#hints.keys()]
  }

  /** Takes up what the last run knew; a file that cannot be read is as good as none. */
  async restore(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch(() => '[]')
    for (const known of parseKnown(text)) if (!this.#hints.has(known.peer)) this.hint(known)
  }

  async save(sights: readonly PeerSight[], self: PeerId): Promise<void> {
    const others = sights.filter(
      ({ peer, state, record }) => peer !== self && state !== 'left' && record.addresses.length > 0,
    )
    if (others.length === 0) return
    const ranked = others.toSorted((a, b) => Number(b.state === 'alive') - Number(a.state === 'alive'))
    const known = ranked.slice(0, KNOWN_MAX).map(({ peer, record }) => ({ peer, addresses: record.addresses }))
    await writeFile(`${this.#path}.draft`, `${JSON.stringify(known, null, 1)}\n`, { mode: 0o600 })
    await rename(`${this.#path}.draft`, this.#path)
  }
}

function parseKnown(text: string): readonly KnownPeer[] {
  const read = parseJson(text)
  if (!Array.isArray(read)) return []
  return read.slice(0, KNOWN_MAX).flatMap((row: unknown): KnownPeer[] => {
    if (typeof row !== 'object' || row === null || !('peer' in row) || !('addresses' in row)) return []
    const peer = parsePeerId(row.peer)
    const addresses = Array.isArray(row.addresses) ? row.addresses.filter((one) => typeof one === 'string') : []
    return peer === undefined ? [] : [{ peer, addresses: addresses.slice(0, 8) }]
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
