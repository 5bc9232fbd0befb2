/** Loads the built add-on where there is one that can be trusted to compute what the reference computes. */
import { loadAddonFile } from './addon-file.ts'
import { type PackedPeers, PEER_KEY_BYTES, type RendezvousTop, referenceTop } from './reference.ts'
import { NATIVE_FOLDER } from './stamp.ts'

/** Which path runs: an instruction set of the add-on, or TypeScript. */
export type Kernel = 'avx2' | 'scalar' | 'reference'

export type LoadOptions = {
  /** Path to take instead of the fastest that this processor has. */
  readonly kernel?: Kernel
  /** Told once, in a sentence, why the reference runs although nobody asked for it. */
  readonly announce?: (line: string) => void
  /** Where the sources and their build are. */
  readonly folder?: string
}

export type Loaded = { readonly kernel: Kernel; readonly rendezvousTop: RendezvousTop }

/** What addon.cc exports. */
type Addon = {
  readonly avx2: boolean
  rendezvousTop(
    avx2: boolean,
    drawKey: Uint8Array,
    keys: Uint8Array,
    weights: Uint8Array,
    indexes: Uint32Array,
    scores: BigUint64Array,
  ): void
}

const REFERENCE: Loaded = { kernel: 'reference', rendezvousTop: referenceTop }
/** Some rounds of eight lanes and a rest, with weights of every size. */
const PROBE_PEERS = 61

/**
 * Gives the fastest kernel that can be used here. Never throws: without a compiler, or with a broken build, the reference runs.
 *
 * Why the result is tried first: a compiler that miscompiles must cost speed, not a draw that differs from everybody else's.
 */
export function loadKernel({ kernel, announce, folder = NATIVE_FOLDER }: LoadOptions = {}): Loaded {
  if (kernel === 'reference') return REFERENCE
  const addon = readAddon(folder)
  if (typeof addon === 'string') return fallBack(addon, announce)
  if (kernel === 'avx2' && !addon.avx2) return fallBack('this processor has no AVX2', announce)
  const isa = kernel ?? (addon.avx2 ? 'avx2' : 'scalar')
  const rendezvousTop = topOf(addon, isa === 'avx2')
  return isRight(rendezvousTop) ? { kernel: isa, rendezvousTop } : fallBack('it computes something else', announce)
}

function fallBack(why: string, announce: LoadOptions['announce']): Loaded {
  announce?.(`The native kernels are not used (${why}): draws over many peers take longer.`)
  return REFERENCE
}

/** @returns why there is none, when there is none */
function readAddon(folder: string): Addon | string {
  const loaded = loadAddonFile('cfab', folder)
  return 'reason' in loaded ? loaded.reason : (parseAddon(loaded.addon) ?? 'the build is not ours')
}

function parseAddon(loaded: object): Addon | undefined {
  const isAddon = 'avx2' in loaded && 'rendezvousTop' in loaded
  if (!isAddon || typeof loaded.avx2 !== 'boolean' || typeof loaded.rendezvousTop !== 'function') return undefined
  return loaded as Addon
}

function topOf(addon: Addon, avx2: boolean): RendezvousTop {
  return (drawKey, { keys, weights }, count) => {
    const found = Math.min(count, weights.length)
    const [indexes, scores] = [new Uint32Array(found), new BigUint64Array(found)]
    addon.rendezvousTop(avx2, drawKey, keys, weights, indexes, scores)
    return { indexes, scores }
  }
}

function isRight(top: RendezvousTop): boolean {
  const drawKey = Uint8Array.from({ length: 16 }, (_, index) => index)
  const peers: PackedPeers = {
    keys: Uint8Array.from({ length: PROBE_PEERS * PEER_KEY_BYTES }, (_, index) => (index * 31) & 0xff),
    weights: Uint8Array.from({ length: PROBE_PEERS }, (_, index) => (index < 16 ? 1 : (index * 13) % 65)),
  }
  try {
    const [found, wanted] = [top, referenceTop].map((run) => run(drawKey, peers, PROBE_PEERS))
    return String(found?.indexes) === String(wanted?.indexes) && String(found?.scores) === String(wanted?.scores)
  } catch {
    return false
  }
}
