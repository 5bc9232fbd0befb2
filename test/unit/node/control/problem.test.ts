/** Errors as HTTP answers: what every code promises about coming back. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ERRORS, FabricError, isErrorCode } from '../../../../core/errors.ts'
import { problemOf } from '../../../../node/control/problem.ts'

const PROBLEMS = Object.keys(ERRORS)
  .filter(isErrorCode)
  .map((code) => ({ code, problem: problemOf(new FabricError(code)) }))

test('every 429 and every 503 has a Retry-After in whole seconds, and nothing else has one', () => {
  for (const { code, problem } of PROBLEMS) {
    const after = problem.headers['retry-after']
    assert.is(after !== undefined, problem.status === 429 || problem.status === 503, code)
    if (after !== undefined) assert.match(after, /^[1-9][0-9]*$/, code)
  }
})

test('no code both says when to come back and that it is of no use', () => {
  for (const { code, problem } of PROBLEMS)
    assert.not(problem.headers['retry-after'] !== undefined && problem.headers['x-should-retry'] === 'false', code)
})

test('an error that knows better says its own time', () => {
  const error = new FabricError('CF_CONTROL_RATE_LIMITED', { retryAfterSeconds: 42 })
  assert.is(problemOf(error).headers['retry-after'], '42')
})

test('every answer has the four members that OpenAI clients read', () => {
  for (const { code, problem } of PROBLEMS) {
    assert.equal(Object.keys(problem.body.error), ['message', 'type', 'param', 'code'], code)
    assert.is(problem.body.error.code, code)
  }
})

test.run()
