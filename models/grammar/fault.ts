/** What a schema asks for that cannot be held to. */

export class SchemaFault extends Error {
  /** What would be accepted, to follow the word "expected". */
  readonly expected: string

  constructor(expected: string) {
    super(expected)
    this.expected = expected
  }
}

/** @param path  JSON pointer of the place */
export function unsupported(keyword: string, path: string): SchemaFault {
  return new SchemaFault(`a schema without ${keyword.slice(0, 64)} (at #${path.slice(0, 128)})`)
}
