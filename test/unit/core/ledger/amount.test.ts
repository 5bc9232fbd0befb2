import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatAmount, parseAmount } from '../../../../core/ledger/amount.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { testSeed } from '../../../support/seeded-random.ts'

test('decimal credits read as micro-credits', () => {
  assert.is(parseAmount('1.5'), 1_500_000n)
  assert.is(parseAmount('0'), 0n)
  assert.is(parseAmount('0.000001'), 1n)
  assert.is(parseAmount('-2'), -2_000_000n)
  assert.is(parseAmount('9007199254.740992'), LIMITS.amountMicroMax)
})

test('anything but a plain bounded decimal is no amount', () => {
  const texts = [
    '',
    ' 1',
    '1 ',
    '+1',
    '1.',
    '.5',
    '1.0000001',
    '01',
    '1e3',
    '1,5',
    '0x1',
    '--1',
    '1n',
    '١',
    'NaN',
    'Infinity',
  ]
  for (const text of [...texts, '9007199254.740993', '99999999999', '9'.repeat(400)])
    assert.is(parseAmount(text), undefined, text)
  for (const value of [1, 1n, null, undefined, {}, ['1']]) assert.is(parseAmount(value), undefined)
})

test('the shortest decimal is written', () => {
  const cases = [
    [1_500_000n, '1.5'],
    [0n, '0'],
    [1n, '0.000001'],
    [-2_000_000n, '-2'],
    [-1n, '-0.000001'],
  ] as const
  for (const [micro, text] of cases) assert.is(formatAmount(micro), text)
})

test('every amount reads back as what was written', () => {
  const micro = fc.bigInt({ min: -LIMITS.amountMicroMax, max: LIMITS.amountMicroMax })
  fc.assert(
    fc.property(micro, (amount) => parseAmount(formatAmount(amount)) === amount),
    { seed: testSeed() },
  )
})

test.run()
