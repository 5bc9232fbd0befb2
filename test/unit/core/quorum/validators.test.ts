import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isValidatorList, quorumOf, validatorSet } from '../../../../core/quorum/validators.ts'
import { validatorKeys } from '../../../support/people.ts'

const KEYS = validatorKeys(14).map((key) => key.peer)

test('a quorum is the smallest number of which any two share an honest validator', () => {
  assert.equal([1, 2, 3, 4, 7, 10, 13].map(quorumOf), [1, 2, 3, 3, 5, 7, 9])
  for (let count = 1; count <= 13; count++) {
    const [faulty, quorum] = [Math.floor((count - 1) / 3), quorumOf(count)]
    assert.ok(2 * quorum - count > faulty, `two quorums of ${count} share more than the faulty`)
    assert.ok(count - faulty >= quorum, `the honest of ${count} are a quorum`)
  }
})

test('the hash binds epoch, order and quorum', () => {
  const set = validatorSet(1n, KEYS.slice(0, 4))
  const others = [
    validatorSet(2n, KEYS.slice(0, 4)),
    validatorSet(1n, KEYS.slice(0, 4).reverse()),
    validatorSet(1n, KEYS.slice(0, 4), 2),
    validatorSet(1n, KEYS.slice(0, 3), 3),
  ]
  assert.is(validatorSet(1n, KEYS.slice(0, 4)).hash, set.hash)
  for (const other of others) assert.is.not(other.hash, set.hash)
})

test('nobody, a key twice and fourteen keys are no validator list', () => {
  assert.not(isValidatorList([]))
  assert.not(isValidatorList([...KEYS.slice(0, 3), ...KEYS.slice(0, 1)]))
  assert.not(isValidatorList(KEYS))
  assert.ok(isValidatorList(KEYS.slice(0, 13)))
  assert.throws(() => validatorSet(0n, KEYS), /1 to 13/)
})

test('a quorum that cannot be reached is a bug', () => {
  assert.throws(() => validatorSet(0n, KEYS.slice(0, 4), 5), /reached/)
  assert.throws(() => validatorSet(0n, KEYS.slice(0, 4), 0), /reached/)
})

test.run()
