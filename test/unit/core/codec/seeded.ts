/** Random inputs for the codec's property tests, and the seed that brings a failure back. */
import fc from 'fast-check'
import type { Wire } from '../../../../core/codec/canonical.ts'

/** Prints and returns the run's seed; SEED in the environment repeats a run. */
export function seedOf(suite: string): number {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
  console.log(`${suite}: SEED=${seed}`)
  return seed
}

const text = fc.string({ unit: 'binary', maxLength: 300 })
const scalar: fc.Arbitrary<Wire> = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, -1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)),
  fc.boolean(),
  text,
  text.map((tail) => `\ufeff${tail}`),
  fc.uint8Array({ maxLength: 300 }),
)

/** Any value that the codec can carry, at most seven arrays deep. */
export const wire: fc.Arbitrary<Wire> = fc.letrec<{ value: Wire; list: readonly Wire[] }>((tie) => ({
  value: fc.oneof({ maxDepth: 6, depthSize: 'small' }, scalar, tie('list')),
  list: fc.array(tie('value'), { maxLength: 20 }),
})).value
