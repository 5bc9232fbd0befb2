/** Reads the chain that the region log's entries form; the log itself knows nothing else of them. */
import { digestBytes, type SwarmId } from '../../core/ids.ts'
import { entryCodec, entryHash } from '../../core/log/entry.ts'
import type { EntryLink } from '../runtime/ports.ts'

export function entryLinks(swarmId: SwarmId): (bytes: Uint8Array) => EntryLink | undefined {
  return (bytes) => {
    const entry = entryCodec.decode(bytes)
    if (entry.action !== 'accept') return undefined
    return {
      index: entry.value.index,
      previous: digestBytes(entry.value.previous),
      hash: digestBytes(entryHash(swarmId, bytes)),
    }
  }
}
