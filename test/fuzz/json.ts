/** JSON that is almost right: of a valid body, with one value changed. */
import type { SeededRandom } from '../support/seeded-random.ts'
import { pick } from './mutate.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

const STRANGE: readonly Json[] = [
  ...[null, true, false, [], {}, [[]], [null], { a: 1 }, { __proto__: null, constructor: 1 }],
  ...[
    0,
    -0,
    1,
    -1,
    0.5,
    1.5,
    2,
    3,
    16,
    255,
    65_536,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 53 + 2,
    1e21,
    1e308,
    -1e308,
    5e-324,
  ],
  ...['', ' ', 'a', '0', '-1', '1e9', '0.000001', '9'.repeat(40), 'true', 'null', '\u0000', '\ufeff', '\ud800', '💥'],
  ...[
    'x'.repeat(300),
    'é'.repeat(20_000),
    '__proto__',
    'constructor',
    '../../etc/passwd',
    '%00',
    '<|im_start|>',
    '\n\n',
  ],
]
const NAMES = [
  'model',
  'messages',
  'stream',
  'n',
  'prompt',
  '__proto__',
  'constructor',
  'toString',
  '',
  'x'.repeat(500),
]

export function mutateJson(value: Json, random: SeededRandom): Json {
  const isLeaf = typeof value !== 'object' || value === null
  if (isLeaf || random.below(12) === 0) return pick(STRANGE, random)
  return isList(value) ? mutateList(value, random) : mutateObject(value, random)
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

function mutateList(items: readonly Json[], random: SeededRandom): Json {
  const place = random.below(items.length + 1)
  const item = items[place]
  if (item === undefined) return [...items, pick(STRANGE, random)]
  switch (random.below(5)) {
    case 0:
      return items.toSpliced(place, 1)
    case 1:
      return Array(random.below(40)).fill(item)
    default:
      return items.with(place, mutateJson(item, random))
  }
}

function mutateObject(value: { readonly [name: string]: Json }, random: SeededRandom): Json {
  const entries = Object.entries(value)
  const place = random.below(entries.length + 1)
  const entry = entries[place]
  if (entry === undefined) return { ...value, [pick(NAMES, random)]: pick(STRANGE, random) }
  const [name, part] = entry
  switch (random.below(6)) {
    case 0:
      return Object.fromEntries(entries.toSpliced(place, 1))
    case 1:
      return Object.fromEntries(entries.with(place, [pick(NAMES, random), part]))
    default:
      return { ...value, [name]: mutateJson(part, random) }
  }
}
