/** Who works in the market, and what each kind saves and risks. */

export type WorkerKind = {
  readonly name: string
  /** Cost of an answer, in units of an honest one's. */
  readonly cost: number
  /** Chance that one auditor finds the answer wrong when it computes it again, by tokens of the answer. */
  readonly power: (tokens: number) => number
  /** With whom the answer agrees: with the honest ones, with others of its kind, or with nobody. */
  readonly output: 'true' | 'shared' | 'own'
  /** When it cheats; else it works honestly. */
  readonly cheats: (tokens: number) => boolean
  /** Commits to nothing that it could reveal. */
  readonly isSilent?: boolean
  /** Comes back under a new key when it has been slashed. */
  readonly isReborn?: boolean
}

const always = (): boolean => true
const never = (): boolean => false

/** An audit sees a fixed amount of evidence in each token that a cheat computed. */
function growing(perToken: number): (tokens: number) => number {
  return (tokens) => 1 - (1 - perToken) ** tokens
}

/**
 * The defaults of the report.
 *
 * Powers: a smaller sibling by 64 tokens 0.999 and a four-bit quantisation for an eight-bit one by 256 tokens 0.99, which calibration
 * measures (bench/results/verification.json); an edit is found at its own token; who works wrongly in a fifth of its tokens leaves a
 * fifth of the evidence.
 */
export const WORKER_KINDS: readonly WorkerKind[] = [
  { name: 'honest', cost: 1, power: () => 0, output: 'true', cheats: never },
  { name: 'smaller-model', cost: 0.42, power: growing(0.102), output: 'own', cheats: always },
  { name: 'lower-quant', cost: 0.75, power: growing(0.0178), output: 'own', cheats: always },
  { name: 'edits', cost: 1, power: () => 0.999, output: 'own', cheats: always },
  { name: 'truncates', cost: 0.5, power: () => 0.99, output: 'own', cheats: always },
  { name: 'replays', cost: 0.03, power: () => 0.999, output: 'own', cheats: always },
  { name: 'copies', cost: 0.03, power: () => 1, output: 'own', cheats: always, isSilent: true },
  { name: 'colludes', cost: 0.08, power: () => 0.999, output: 'shared', cheats: always },
  { name: 'cheats-on-short', cost: 0.42, power: growing(0.102), output: 'own', cheats: (tokens) => tokens < 32 },
  { name: 'cheats-in-a-fifth', cost: 0.88, power: growing(0.102 / 5), output: 'own', cheats: always },
  { name: 'comes-back', cost: 0.42, power: growing(0.102), output: 'own', cheats: always, isReborn: true },
  // The receipt's figures are those of witnesses: what it says of its own clock changes nothing that it is paid.
  { name: 'lies-about-time', cost: 1, power: () => 0, output: 'true', cheats: always },
]
