/** Keeps a value under its name, at most `countMax` of them: the oldest leaves first, whoever asked for it last. */
export function rememberWithin<T>(cache: Map<string, T>, name: string, value: T, countMax: number): T {
  const [oldest] = cache.keys()
  if (cache.size >= countMax && oldest !== undefined && !cache.has(name)) cache.delete(oldest)
  cache.set(name, value)
  return value
}
