/** A bug in our own code: never caught, never used on outside data. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/**
 * Stops the process's current work when something that must hold does not.
 *
 * @throws InvariantError when `condition` is false; the daemon logs it and exits 70
 */
export function invariant(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${expectation}`)
}

/** Makes the compiler reject a switch that forgets a case. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable case: ${String(value)}`)
}
