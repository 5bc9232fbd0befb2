/** A rule of the swarm that did not hold; the name says which, so that a planted bug is known to be found by the right checker. */
export class Violation extends Error {
  readonly rule: string

  constructor(rule: string, message: string) {
    super(message)
    this.rule = rule
  }
}

export function violated(rule: string, message: string): never {
  throw new Violation(rule, message)
}
