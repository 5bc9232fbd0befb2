/** Whatever a schema's grammar lets a model say is valid by the schema: random schemas, random answers, an independent validator. */
import { Check } from 'typebox/schema'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Gbnf, parseGbnf } from '../../../models/gbnf/parse.ts'
import { jsonSchemaGrammar } from '../../../models/grammar.ts'
import { missing } from '../../support/missing.ts'
import { type SeededRandom, seededRandom, testSeed } from '../../support/seeded-random.ts'

type Schema = Readonly<Record<string, unknown>>

const SCHEMAS = 300
const ANSWERS = 8
/** From here on the shortest way to an end is taken. */
const DEPTH_MAX = 40
const NAMES = ['a', 'name', 'Länge', 'with "quotes"', 'back\\slash', '日本']
const PATTERNS = [
  ...[
    '^[a-z]{2}-\\d+$',
    '^(foo|bar)?x*$',
    'b+',
    '^.{2,4}$',
    '^[^a-c"]+$',
    '^a\\.b$',
    '^\\w+@\\w+\\.[a-z]{2,3}$',
    '^[\\w.-]+',
  ],
  ...[
    '^"[\\]^-]\\\\$',
    '^(?:a|b(c|d){2})$',
    '^ä[ö-ü]$',
    '^\\s?$',
    '\\\\$',
    '^$',
    '',
    '^\\d{4}-(0[1-9]|1[0-2])$',
    '^[😀-😂]$',
  ],
]
const VALUES = [1, -2.5, 'x', 'a"b\\c', '\n', null, true, { a: [1] }, [], 'ü']

function randomSchema(random: SeededRandom, depth: number): Schema {
  const part = (): Schema => randomSchema(random, depth + 1)
  const some = <T>(list: readonly T[]): T => list[random.below(list.length)] ?? missing()
  const simple: readonly (() => Schema)[] = [
    () => ({ type: some(['boolean', 'null', 'integer', 'number', 'string']) }),
    () => ({ enum: VALUES.filter(() => random.below(3) === 0).concat('always') }),
    () => ({ const: VALUES[random.below(VALUES.length)] }),
    () => ({ type: 'integer', minimum: random.below(300) - 150, maximum: 150 + random.below(2_000) }),
    () => ({ type: 'integer', exclusiveMinimum: -random.below(1_000) - 2, exclusiveMaximum: random.below(99) + 1 }),
    () => ({ type: 'integer', [some(['minimum', 'maximum'])]: random.below(20_000) - 10_000 }),
    () => ({ type: 'number', minimum: 0 }),
    () => ({ type: 'string', minLength: random.below(3), maxLength: 3 + random.below(4) }),
    () => ({ type: 'string', format: some(['date', 'time', 'date-time', 'uuid', 'ipv4']) }),
    () => ({ type: 'string', pattern: some(PATTERNS) }),
    () => ({ type: ['string', 'null', 'integer'] }),
  ]
  const nested: readonly (() => Schema)[] = [
    () => ({ anyOf: [part(), part()] }),
    () => ({ type: 'array', items: part(), minItems: random.below(3), maxItems: 2 + random.below(3) }),
    () => ({ type: 'array', prefixItems: [part(), part()], items: false, minItems: 2 }),
    () => randomObject(random, part),
    () => randomObject(random, part),
    () => ({ type: 'object', additionalProperties: part() }),
  ]
  return some(depth > 2 ? simple : [...simple, ...nested, ...nested])()
}

function randomObject(random: SeededRandom, part: () => Schema): Schema {
  const names = NAMES.filter(() => random.below(2) === 0)
  const properties = Object.fromEntries(names.map((name) => [name, part()]))
  const required = names.filter(() => random.below(2) === 0)
  return { type: 'object', properties, required, additionalProperties: false }
}

/** The fewest rules within each other that an alternative needs, by where it begins. */
function heightsOf({ elements, rules }: Gbnf): ReadonlyMap<number, number> {
  const heights = new Map<number, number>()
  const ofRule = (rule: number): number => Math.min(...(rules[rule] ?? []).map((at) => heights.get(at) ?? 1_000))
  for (let changed = true; changed; ) {
    changed = false
    for (const start of rules.flat()) {
      let height = 1
      for (let at = start; elements[at]?.kind !== 'end'; at++) {
        const element = elements[at] ?? missing()
        if (element.kind === 'rule') height = Math.max(height, 1 + ofRule(element.rule))
      }
      if (height < (heights.get(start) ?? 1_000)) changed = Boolean(heights.set(start, height))
    }
  }
  return heights
}

/** Some text that the grammar allows. */
function randomText(random: SeededRandom, grammar: Gbnf, heights: ReadonlyMap<number, number>): string {
  const expand = (rule: number, depth: number): string => {
    const starts = grammar.rules[rule] ?? []
    const lowest = Math.min(...starts.map((at) => heights.get(at) ?? 0))
    const possible = depth > DEPTH_MAX ? starts.filter((at) => heights.get(at) === lowest) : starts
    let text = ''
    for (let at = possible[random.below(possible.length)] ?? missing(); grammar.elements[at]?.kind !== 'end'; at++) {
      const element = grammar.elements[at] ?? missing()
      text += element.kind === 'rule' ? expand(element.rule, depth + 1) : randomChar(random, element)
    }
    return text
  }
  return expand(grammar.root, 0)
}

function randomChar(random: SeededRandom, element: Gbnf['elements'][number]): string {
  const { ranges } = element.kind === 'class' ? element : missing()
  const at = 2 * random.below(ranges.length / 2)
  const [min = 0, max = 0] = ranges.slice(at, at + 2)
  return String.fromCodePoint(min + random.below(Math.min(max - min + 1, 200)))
}

test('every answer that a schema has a grammar for is valid by the schema', () => {
  const seed = testSeed()
  const random = seededRandom(seed)
  let said = 0
  for (let round = 0; round < SCHEMAS; round++) {
    const schema = randomSchema(random, 0)
    const found = jsonSchemaGrammar(schema)
    const gbnf = 'gbnf' in found ? found.gbnf : missing(`seed ${seed}: ${JSON.stringify(schema)}: ${found.fault}`)
    const grammar = parseGbnf(gbnf) ?? missing(`a grammar, seed ${seed}: ${JSON.stringify(schema)}`)
    const heights = heightsOf(grammar)
    for (let turn = 0; turn < ANSWERS; turn++) {
      const text = randomText(random, grammar, heights)
      const value: unknown = JSON.parse(text)
      assert.ok(Check(schema, value), `seed ${seed}: ${JSON.stringify(schema)} lets pass ${text}`)
      said += 1
    }
  }
  assert.is(said, SCHEMAS * ANSWERS)
})

test.run()
