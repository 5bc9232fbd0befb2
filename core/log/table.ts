/** Keyed rows with cheap forks: a fork keeps its own changes in a Map above its parent, so nothing is ever copied whole. */
import { invariant } from '../invariant.ts'

/** Where rows come from: a parent table, or the store behind the root state. */
export interface Lookup<V> {
  get(key: string): V | undefined
  /** Present when the source keeps new rows itself (a cache over a store): the root then writes through and holds nothing. */
  set?(key: string, value: V): void
  /** Every row, in any order. */
  entries?(): Iterable<readonly [string, V]>
}

const NO_ROWS: Lookup<never> = { get: () => undefined, entries: () => [] }

export class Table<V> implements Lookup<V> {
  readonly #base: Lookup<V>
  readonly #writesThrough: boolean
  #changed: Map<string, V> | undefined

  private constructor(base: Lookup<V>, writesThrough: boolean) {
    this.#base = base
    this.#writesThrough = writesThrough
  }

  static root<V>(source: Lookup<V> = NO_ROWS): Table<V> {
    return new Table(source, source.set !== undefined)
  }

  fork(): Table<V> {
    return new Table<V>(this, false)
  }

  get(key: string): V | undefined {
    return this.#changed?.get(key) ?? this.#base.get(key)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: V): void {
    if (this.#writesThrough) {
      this.#base.set?.(key, value)
    } else {
      this.#changed ??= new Map()
      this.#changed.set(key, value)
    }
  }

  /** What was set here and not in the parent: the rows that a projection must write. */
  changes(): ReadonlyMap<string, V> {
    return this.#changed ?? NOTHING
  }

  /** Every row, own changes over the base's. */
  *entries(): Iterable<readonly [string, V]> {
    invariant(this.#base.entries !== undefined, 'the rows of this table can be listed')
    for (const row of this.#base.entries()) if (!this.#changed?.has(row[0])) yield row
    yield* this.changes()
  }

  /** Hands the changes to the parent; the fork is not used again. */
  mergeInto(parent: Table<V>): void {
    invariant(this.#base === parent, 'a fork is merged into the table it was made from')
    if (this.#changed !== undefined) for (const [key, value] of this.#changed) parent.set(key, value)
  }
}

const NOTHING: ReadonlyMap<string, never> = new Map<string, never>()
