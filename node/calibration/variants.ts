/** The honest ways in which members of a swarm run one model: the same file, other kernels, threads, batches and drivers. */
import type { LoadRequest } from '../../models/backend.ts'
import { knownKernels } from '../../models/native/libraries.ts'

export type Variant = {
  /** Such as `haswell`, `best fa-off`, `best 2 threads`. */
  readonly name: string
  readonly load: Partial<Pick<LoadRequest, 'kernels' | 'driver' | 'flashAttention'>> & { readonly threads: number }
}

export type VariantOptions = {
  /** Absent: all that this version has for the system. */
  readonly kernels?: readonly string[]
  readonly threads: readonly number[]
  /** Only what this processor would run by itself, and one other. */
  readonly isQuick: boolean
}

/** The kernels made for this processor. */
const BEST = 'best'

/** @returns the one that this machine would run by itself first */
export async function variantsOf({ kernels, threads, isQuick }: VariantOptions): Promise<readonly Variant[]> {
  const [first = 1, ...others] = threads
  const best: Variant = { name: BEST, load: { threads: first } }
  const named = (kernels ?? (await knownKernels())).map(
    (name): Variant => ({ name, load: { threads: first, kernels: name, driver: 'native' } }),
  )
  const lockstep: Variant = { name: 'lockstep', load: { threads: first, driver: 'lockstep' } }
  // Without names there is one library for all: lock-step is then the only other way.
  if (isQuick) return [best, ...named.slice(0, 1), lockstep]
  return [
    best,
    ...others.map((count): Variant => ({ name: `${BEST} ${count} threads`, load: { threads: count } })),
    lockstep,
    ...named,
    { name: `${BEST} fa-off`, load: { threads: first, flashAttention: false } },
    ...named
      .slice(-1)
      .map(({ name, load }): Variant => ({ name: `${name} fa-off`, load: { ...load, flashAttention: false } })),
  ]
}
