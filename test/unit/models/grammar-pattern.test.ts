/** Regular expressions of a schema: the grammar lets pass what the expression matches, or the expression is refused. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GrammarMatcher } from '../../../models/gbnf/matcher.ts'
import { parseGbnf } from '../../../models/gbnf/parse.ts'
import { jsonSchemaGrammar } from '../../../models/grammar.ts'
import { missing } from '../../support/missing.ts'

function fits(pattern: string, value: string): boolean {
  const made = jsonSchemaGrammar({ type: 'string', pattern })
  const gbnf = 'gbnf' in made ? made.gbnf : missing(made.fault)
  const matcher = new GrammarMatcher(parseGbnf(gbnf) ?? missing('a grammar'))
  const bytes = Buffer.from(JSON.stringify(value))
  if (!matcher.allows(bytes)) return false
  matcher.accept(bytes)
  return matcher.mayEnd
}

/** Those that match come first. */
const CASES: readonly (readonly [pattern: string, fits: readonly string[], not: readonly string[]])[] = [
  ['^[a-z]{2}-\\d+$', ['ab-1', 'zz-123'], ['a-1', 'ab-', 'AB-1', 'ab-1x']],
  ['^(foo|bar)?x*$', ['', 'foo', 'barxx'], ['foobar', 'fo']],
  ['b+', ['b', 'abbc', '"b"'], ['', 'ac']],
  ['^\\{\\$\\w+\\}$', ['{$a_1}'], ['{$}', '$a']],
  ['^a"b\\\\c$', ['a"b\\c'], ['ab\\c', 'a"bc']],
  ['^[^a"]$', ['b', 'ü', '😀'], ['a', '"', '', 'bb']],
  ['^[\\w.+-]+@x$', ['a.b+c-d@x'], ['@x', 'a b@x']],
  ['\\\\$', ['a\\', '\\'], ['a', '\\a']],
  ['^\\n$', ['\n'], ['n', '\\n']],
]
for (const [pattern, allowed, refused] of CASES)
  test(`${pattern} lets pass what it matches`, () => {
    const expression = new RegExp(pattern, 'u')
    for (const text of allowed) assert.ok(expression.test(text) && fits(pattern, text), text)
    for (const text of refused) assert.not.ok(expression.test(text) || fits(pattern, text), text)
  })

const REFUSED = [
  ...[
    '^(?=a)',
    '(?<!a)b',
    '\\1',
    '\\bword',
    'a^b',
    '^a$b',
    '\\p{L}',
    '\\u0041',
    '(a',
    'a)',
    '[a',
    'a{2',
    'a{3,2}',
    '*',
  ],
  ...['a{1,9999}', '^a|b$', '[z-a]', '[!-~]', '["\\\\]', 'x'.repeat(513), '('.repeat(100), 'a\\', '\ud800', '^[]$'],
]
for (const pattern of REFUSED)
  test(`${pattern.slice(0, 20)} is refused by name`, () => {
    const made = jsonSchemaGrammar({ type: 'string', pattern })
    assert.match('fault' in made ? made.fault : JSON.stringify(made), /^a regular expression /)
  })

test.run()
