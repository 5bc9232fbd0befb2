/**
 * A Merkle tree over the members of a roster, so that a receipt can prove one of them without carrying all.
 * A level of odd length promotes its last node unhashed, as the tree of RFC 6962 does; leaves and nodes have their own domains.
 */
import { domainHash } from '#core/hash'

const HASH_BYTES = 32

/** @returns 32 zero bytes for no leaves */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  let level = leaves.map(leafHash)
  while (level.length > 1) level = above(level)
  return level[0] ?? new Uint8Array(HASH_BYTES)
}

/** Gives the siblings on the way from a leaf to the root, lowest first. */
export function merklePath(leaves: readonly Uint8Array[], index: number): readonly Uint8Array[] {
  const path: Uint8Array[] = []
  let [level, place] = [leaves.map(leafHash), index]
  while (level.length > 1) {
    const sibling = level[place ^ 1]
    if (sibling !== undefined) path.push(sibling)
    level = above(level)
    place >>= 1
  }
  return path
}

/** Climbs from a leaf, at this place of so many. @returns the root that the path leads to; undefined when its length is wrong */
export function topFromPath(
  leaf: Uint8Array,
  { index, count, path }: { readonly index: number; readonly count: number; readonly path: readonly Uint8Array[] },
): Uint8Array | undefined {
  if (index < 0 || index >= count) return undefined
  let [hash, place, width, used] = [leafHash(leaf), index, count, 0]
  while (width > 1) {
    const promoted = place === width - 1 && width % 2 === 1
    const sibling = promoted ? undefined : path[used++]
    if (!promoted && sibling === undefined) return undefined
    if (sibling !== undefined) hash = place % 2 === 0 ? nodeHash(hash, sibling) : nodeHash(sibling, hash)
    place >>= 1
    width = Math.ceil(width / 2)
  }
  return used === path.length ? hash : undefined
}

function above(level: readonly Uint8Array[]): Uint8Array[] {
  const next: Uint8Array[] = []
  for (let place = 0; place < level.length; place += 2) {
    const [left, right] = [level[place], level[place + 1]]
    if (left !== undefined) next.push(right === undefined ? left : nodeHash(left, right))
  }
  return next
}

function leafHash(leaf: Uint8Array): Uint8Array {
  return domainHash('roster-leaf', leaf)
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return domainHash('roster-node', left, right)
}
