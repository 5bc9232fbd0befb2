/** Ends a test that lacks what it builds on; of type never, so that `value ?? missing()` has the value's type. */
export function missing(what = 'a value that the test needs'): never {
  throw new Error(`missing: ${what}`)
}
