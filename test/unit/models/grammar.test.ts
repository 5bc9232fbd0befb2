/** Schemas become grammars that match valid JSON only; what cannot be held to is refused by name, and quickly. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { integerRange } from '../../../models/grammar/integer-range.ts'
import { jsonObjectGrammar, jsonSchemaGrammar } from '../../../models/grammar.ts'

type Schema = Readonly<Record<string, unknown>>

function grammarOf(schema: Schema): string {
  const made = jsonSchemaGrammar(schema)
  assert.ok('gbnf' in made, JSON.stringify(made))
  return made.gbnf
}

function faultOf(schema: Schema): string {
  const made = jsonSchemaGrammar(schema)
  return 'fault' in made ? made.fault : 'none'
}

test('any object', () => {
  assert.match(jsonObjectGrammar(), /^root ::= object\n/)
  assert.match(jsonObjectGrammar(), /\nvalue ::= object \| array \| string \| number \| boolean \| null\n/)
})

test('every rule that is named is there, once', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: 'array', items: { $ref: '#' } }, c: { enum: [1, 'ws', null] } },
    required: ['a'],
  }
  const lines = grammarOf(schema).trim().split('\n')
  const names = lines.map((line) => line.split(' ::= ')[0] ?? '')
  assert.is(new Set(names).size, names.length)
  const used = lines.flatMap((line) =>
    [
      ...(line.split(' ::= ')[1] ?? '')
        .replace(/"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]/g, '')
        .matchAll(/[a-z][a-z0-9-]*/g),
    ].map(([name]) => name),
  )
  for (const name of used) assert.ok(names.includes(name), name)
})

test('a text that looks like grammar stays text', () => {
  assert.match(grammarOf({ const: 'a"b\\c\nd' }), /^root ::= "\\"a\\\\\\"b\\\\\\\\c\\\\nd\\""\n$/)
})

const REFUSED: readonly (readonly [Schema, string])[] = [
  [{ type: 'string', pattern: '^(?=a)$' }, 'a regular expression with plain groups (at #/pattern)'],
  [{ type: 'string', pattern: '^a$', maxLength: 3 }, 'a schema without a length or format beside pattern (at #)'],
  [{ type: 'object', properties: { a: { not: {} } } }, 'a schema without not (at #/properties/a)'],
  [{ type: 'string', format: 'hostname' }, 'a schema without format "hostname" (at #)'],
  [{ type: 'array', uniqueItems: true }, 'a schema without uniqueItems (at #)'],
  [{ type: 'integer', multipleOf: 3 }, 'a schema without multipleOf (at #)'],
  [{ type: 'number', maximum: 3 }, 'a schema without bounds of a number other than minimum 0 (at #)'],
  [{ anyOf: [{ type: 'string' }], type: 'object' }, 'a schema without type beside anyOf (at #)'],
  [{ allOf: [{}, {}] }, 'a schema without allOf of several schemas (at #)'],
  [{ $ref: 'https://example.com/a' }, 'a schema without a $ref to elsewhere (at #)'],
  [{ $ref: '#/$defs/none' }, 'a $ref that leads somewhere (#/$defs/none)'],
  [{ $ref: '#' }, 'a $ref that is not its own meaning (at #)'],
  [{ type: 'colour' }, 'a type of JSON Schema (at #)'],
  [{ type: 'object', required: ['a'] }, 'properties with every required name (at #)'],
  [{ type: 'string', enum: [1, 2] }, 'a value that is of its type and in its enum (at #)'],
  [{ type: 'string', const: 2 }, 'a value that is of its type and in its enum (at #)'],
  [{ enum: [1], const: 2 }, 'a value that is of its type and in its enum (at #)'],
  [{ enum: ['a', 'abcd'], maxLength: 2 }, 'a schema without maxLength beside enum or const (at #)'],
  [{ const: 1, minimum: 5 }, 'a schema without minimum beside enum or const (at #)'],
  [{ $ref: '#/%zz' }, 'a $ref that is a URI (%zz)'],
  [{ type: 'string', minLength: 3, maxLength: 2 }, 'maxLength >= minLength (at #)'],
  [{ type: 'array', maxItems: 1e9 }, 'maxItems of at most 2000 (at #)'],
  [{ type: 'integer', minimum: 1, exclusiveMaximum: 1 }, 'bounds with an integer between them (at #)'],
  [{ properties: { a: false } }, 'a schema object (at #/properties/a)'],
]

for (const [schema, expected] of REFUSED)
  test(`${JSON.stringify(schema)} is refused by name`, () => assert.is(faultOf(schema), expected))

test('two references that mean each other are refused, also behind alternatives', () => {
  const schema = { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } } }
  assert.match(faultOf(schema), /^a schema without|^a \$ref that is not its own meaning/)
})

test('a schema 10,000 levels deep, one of 100,000 parts and one of 100,000 values are refused', () => {
  const deep = (levels: number): Schema =>
    Array.from({ length: levels }).reduce<Schema>((items) => ({ type: 'array', items }), { type: 'string' })
  assert.is(faultOf(deep(10_000)), 'at most 256 levels')
  assert.is(faultOf(deep(100)), 'a schema of at most 64 levels')
  const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, { type: 'null' }]))
  assert.is(faultOf({ type: 'object', properties: wide }), 'a schema of at most 2000 parts')
  assert.is(
    faultOf({ enum: Array.from({ length: 100_000 }, (_, index) => index) }),
    'a schema whose grammar is shorter',
  )
})

test('references that branch do not multiply', () => {
  const levels = Array.from({ length: 25 }, (_, level) => [
    `l${level}`,
    {
      type: 'array',
      prefixItems: [{ $ref: `#/$defs/l${level + 1}` }, { $ref: `#/$defs/l${level + 1}` }],
      items: false,
    },
  ])
  const $defs = { ...Object.fromEntries(levels), l25: { type: 'null' } }
  assert.ok(grammarOf({ $ref: '#/$defs/l0', $defs }).length < 8_192)
})

test('thirty optional keys make a short grammar', () => {
  const properties = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`k${index}`, { type: 'integer' }]))
  assert.ok(grammarOf({ type: 'object', properties }).length < 16_384)
})

/** The expression of a range as a regular expression. */
function matcherOf(expression: string): RegExp {
  const pattern = expression
    .replace(/ /g, '')
    .replace(/"([^"]*)"/g, '$1')
    .replace(/\(/g, '(?:')
  return new RegExp(`^(?:${pattern})$`)
}

const RANGES = [
  [0, 0],
  [0, 9],
  [7, 7],
  [3, 57],
  [10, 99],
  [0, 1_000],
  [95, 1_203],
  [-5, 5],
  [-120, -7],
  [-1, 0],
  [-1_000, 333],
] as const

for (const [min, max] of RANGES)
  test(`${min}..${max} are the numerals that match, and no others`, () => {
    const matcher = matcherOf(integerRange(min, max))
    for (let value = -1_500; value <= 1_500; value++)
      assert.is(matcher.test(String(value)), value >= min && value <= max, String(value))
    for (const text of ['', '-', '-0', '00', '01', '-01', '1.0', '1e1', '+1']) assert.not(matcher.test(text), text)
  })

test('a range without an end has numerals up to the largest that are safe', () => {
  const matcher = matcherOf(integerRange(18, Number.POSITIVE_INFINITY))
  for (const [text, isIn] of [
    ['17', false],
    ['18', true],
    ['99', true],
    ['100', true],
    ['-20', false],
    ['9007199254740991', true],
  ] as const)
    assert.is(matcher.test(text), isIn, text)
  assert.ok(matcherOf(integerRange(Number.NEGATIVE_INFINITY, -3)).test('-1000'))
  assert.not(matcherOf(integerRange(Number.NEGATIVE_INFINITY, -3)).test('-2'))
})

test.run()
