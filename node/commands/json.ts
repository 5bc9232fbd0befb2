/** Readers of the daemon's JSON answers. The CLI shows what it was told: a member that is not there reads as a dash. */
export function member(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at = value
  for (const key of path)
    at = typeof at === 'object' && at !== null ? Object.getOwnPropertyDescriptor(at, key)?.value : undefined
  return at
}

export function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  const found = member(value, ...path)
  return typeof found === 'string' || typeof found === 'number' || typeof found === 'boolean' ? String(found) : '-'
}

export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = member(value, ...path)
  return Array.isArray(found) ? found : []
}
