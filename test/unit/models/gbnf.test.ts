/** Grammars: what is one, what it allows, and that nobody can make reading or following one last. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GrammarMatcher } from '../../../models/gbnf/matcher.ts'
import { type Gbnf, parseGbnf } from '../../../models/gbnf/parse.ts'
import { missing } from '../../support/missing.ts'
import { type SeededRandom, seededRandom, testSeed } from '../../support/seeded-random.ts'

const STEPS = 1_000_000

/** Byte by byte, as tokens may be cut. */
function fits(grammar: string, text: string): boolean {
  const matcher = new GrammarMatcher(parseGbnf(grammar) ?? missing('a grammar'))
  for (const byte of Buffer.from(text)) {
    matcher.afford(STEPS)
    const piece = Uint8Array.of(byte)
    if (!matcher.allows(piece)) return false
    matcher.accept(piece)
  }
  return matcher.mayEnd
}

const NO_GRAMMARS = [
  ...[
    '',
    'root',
    'root ::=',
    'root ::= x',
    'start ::= "a"',
    'root ::= "a',
    'root ::= [a',
    'root ::= ("a"',
    'root ::= "a")',
  ],
  ...[
    'root ::= *',
    'root ::= "a"{3,2}',
    'root ::= "a"{',
    'root ::= "a"{x}',
    'root ::= "\\q"',
    'root ::= "\\x4"',
    'root ::= <a>',
  ],
  ...[
    'root ::= "a"{1000000}',
    'root ::= "\\U00110000"',
    'root "a"',
    '::= "a"',
    'root ::= "a" ; b',
    'root ::= "\ud800"',
  ],
  `root ::= ${'('.repeat(100)}"a"${')'.repeat(100)}`,
  `root ::= ${'"a"{400} '.repeat(600)}`,
]
for (const text of NO_GRAMMARS)
  test(`${JSON.stringify(text.slice(0, 40))} is no grammar`, () => {
    // An alternative may be empty.
    if (text === 'root ::=') assert.ok(fits(text, ''))
    else assert.is(parseGbnf(text), undefined)
  })

const CASES: readonly (readonly [grammar: string, allowed: readonly string[], refused: readonly string[]])[] = [
  ['root ::= "a" | "bc"\n', ['a', 'bc'], ['', 'b', 'ab', 'bcd']],
  ['root ::= x*\nx ::= [a-c]', ['', 'abc'], ['d']],
  ['root ::= "a"+ "b"? "c"{2} "d"{1,} "e"{0,2}', ['accd', 'aabccdde', 'accdee'], ['ccd', 'acd', 'accdeee']],
  ['root ::= ("a" | "b"{2}){2,3}', ['aa', 'bba', 'abba', 'bbbbbb'], ['a', 'b', 'bb', 'aaaa']],
  [
    '# words\nroot ::= # more\n  "\\"" [^"\\\\] "\\x41\\u00e9\\U0001F600\\n" .',
    ['"xAé😀\n!'],
    ['""Aé😀\n!', '"xAé😀\n'],
  ],
  ['root ::= "ü" [à-ü]', ['üé'], ['ü', 'üa', 'u']],
  ['root ::= root "a" | "b"', ['b', 'baa'], ['a', 'ab']],
  ['root ::= e root "z" | "x"\ne ::= f\nf ::= "" | "y"', ['x', 'xz', 'yxz', 'yyxzz', 'xzz'], ['z', 'yx', 'yyxz']],
  ['root ::= "a" root "b" | "a" root "c" | ""', ['', 'ab', 'aacb'], ['a', 'aab']],
  ['root ::= [a-] [\\]x] [^a-c^]', ['-]d', 'axz'], ['b]d', 'a]^', 'a]b']],
  ['root ::= a\na ::= "1"\na ::= "2"', ['2'], ['1']],
]
for (const [grammar, allowed, refused] of CASES)
  test(`${JSON.stringify(grammar)} allows what it says`, () => {
    for (const text of allowed) assert.ok(fits(grammar, text), text)
    for (const text of refused) assert.not.ok(fits(grammar, text), text)
  })

test('a piece may end inside a character that the grammar can complete, and only then', () => {
  const matcher = new GrammarMatcher(parseGbnf('root ::= [é-ê]') ?? missing())
  matcher.afford(STEPS)
  assert.ok(matcher.allows(Uint8Array.of(0xc3)))
  assert.not.ok(matcher.allows(Uint8Array.of(0xe2)))
  assert.not.ok(matcher.allows(Uint8Array.of(0xc3, 0xa8)))
  assert.not.ok(matcher.allows(new Uint8Array()))
  matcher.accept(Uint8Array.of(0xc3))
  assert.not.ok(matcher.mayEnd)
  assert.ok(matcher.allows(Uint8Array.of(0xaa)))
  assert.not.ok(matcher.allows(Uint8Array.of(0x41)))
})

const ENDLESS = [
  'root ::= root',
  'root ::= "a" root',
  'root ::= []',
  'root ::= a\na ::= b\nb ::= a',
  'root ::= "x" [^\\x00-\\U0010ffff]',
]
for (const grammar of ENDLESS)
  test(`${JSON.stringify(grammar)} is one that no text fits`, () => {
    assert.is(parseGbnf(grammar)?.allowsSomething, false)
  })

const HOSTILE = [
  `${Array.from({ length: 3_000 }, (_, index) => `r${index} ::= r${index + 1} | r${index + 1}\n`).join('')}r3000 ::= "a"\nroot ::= r0`,
  'root ::= (("a"?){40}){40}',
  'root ::= a*\na ::= b* "x"?\nb ::= a* "y"?',
  `root ::= ${'"a" '.repeat(15_000)}`,
  `root ::= [${'ab'.repeat(30_000)}]*`,
]
for (const grammar of HOSTILE)
  test(`${JSON.stringify(grammar.slice(0, 40))}… is read and followed in time`, () => {
    const startedMs = performance.now()
    const matcher = new GrammarMatcher(parseGbnf(grammar) ?? missing())
    for (let index = 0; index < 50; index++) {
      matcher.afford(STEPS)
      for (const piece of ['a', 'aa', 'xy', 'x']) matcher.allows(Buffer.from(piece))
      matcher.accept(Buffer.from('a'))
    }
    assert.ok(performance.now() - startedMs < 30_000)
  })

test('what may be done for one token is bounded, and what is spent allows nothing', () => {
  const matcher = new GrammarMatcher(parseGbnf(HOSTILE[0] ?? '') ?? missing())
  matcher.afford(3)
  matcher.allows(Buffer.from('a'))
  matcher.afford(0)
  assert.ok(matcher.isSpent)
  assert.not.ok(matcher.allows(Buffer.from('a')))
})

/** All places where a rule that begins at a place of the text may end, by trying everything until nothing new is found. */
function accepts(grammar: Gbnf, text: string): boolean {
  const ends = new Map<string, Set<number>>()
  const endsOf = (rule: number, from: number): Set<number> => {
    const key = `${rule} ${from}`
    const known = ends.get(key) ?? new Set()
    ends.set(key, known)
    return known
  }
  endsOf(grammar.root, 0)
  for (let grew = true; grew; ) {
    grew = false
    for (const [key, found] of [...ends]) {
      const [rule = 0, from = 0] = key.split(' ').map(Number)
      const [before, keys] = [found.size, ends.size]
      for (const start of grammar.rules[rule] ?? [])
        for (const end of walk(grammar, text, start, from, endsOf)) found.add(end)
      grew ||= found.size > before || ends.size > keys
    }
  }
  return endsOf(grammar.root, 0).has(text.length)
}

function walk(
  grammar: Gbnf,
  text: string,
  start: number,
  from: number,
  endsOf: (rule: number, from: number) => Set<number>,
): Set<number> {
  let places = new Set([from])
  for (let at = start; ; at++) {
    const element = grammar.elements[at] ?? missing()
    if (element.kind === 'end') return places
    const next = new Set<number>()
    for (const place of places)
      if (element.kind === 'rule') for (const end of endsOf(element.rule, place)) next.add(end)
      else if (inRanges(element.ranges, text.codePointAt(place))) next.add(place + 1)
    places = next
  }
}

function inRanges(ranges: readonly number[], code: number | undefined): boolean {
  return code !== undefined && ranges.some((min, at) => at % 2 === 0 && code >= min && code <= (ranges[at + 1] ?? 0))
}

function randomGrammar(random: SeededRandom): string {
  const symbol = (depth: number): string => {
    const kind = random.below(depth > 2 ? 6 : 7)
    const atom = kind === 6 ? `(${body(depth + 1)})` : (['"a"', '"b"', '[ab]', 'x', 'y', 'root'][kind] ?? '')
    return atom + (['', '', '*', '?', '+', '{2}'][random.below(6)] ?? '')
  }
  const sequence = (depth: number): string =>
    Array.from({ length: random.below(4) }, () => symbol(depth)).join(' ') || '""'
  const body = (depth: number): string => Array.from({ length: 1 + random.below(3) }, () => sequence(depth)).join(' | ')
  return `root ::= ${body(0)}\nx ::= ${body(1)}\ny ::= ${body(1)}\n`
}

test('random grammars, ambiguous and left-recursive ones too, allow exactly what trying everything finds', () => {
  const seed = testSeed()
  const random = seededRandom(seed)
  const texts = ['']
  for (const text of texts) if (text.length < 4) texts.push(`${text}a`, `${text}b`)
  for (let round = 0; round < 150; round++) {
    const text = randomGrammar(random)
    const grammar = parseGbnf(text) ?? missing('a grammar')
    const found = texts.filter((one) => accepts(grammar, one))
    assert.equal(
      texts.filter((one) => fits(text, one)),
      found,
      `seed ${seed}: ${text}`,
    )
    if (found.length > 0) assert.ok(grammar.allowsSomething)
  }
})

test.run()
