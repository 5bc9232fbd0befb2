import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { InvariantError } from '../../../../core/invariant.ts'
import { createLogger, errorFields, type LogLevel } from '../../../../node/runtime/telemetry.ts'

function linesAt(
  level: LogLevel,
  write: (log: ReturnType<typeof createLogger>) => void,
): readonly Record<string, unknown>[] {
  const lines: string[] = []
  write(createLogger(level, { write: (line: string) => void lines.push(line) }))
  return lines.map((line) => JSON.parse(line))
}

test('a line is JSON with its event and fields, bigint as text', () => {
  const [line] = linesAt('info', (log) =>
    log.child({ node: 'cf1' }).info('job_settled', { cost: 1n << 60n, replicas: 3 }),
  )
  assert.is(line?.['msg'], 'job_settled')
  assert.is(line?.['cost'], '1152921504606846976')
  assert.equal([line?.['replicas'], line?.['node'], line?.['level']], [3, 'cf1', 30])
})

test('a level hides what is below it, silent hides all', () => {
  const all = (log: ReturnType<typeof createLogger>): void => {
    log.debug('d')
    log.info('i')
    log.warn('w')
    log.error('e')
  }
  assert.equal(
    linesAt('warn', all).map(({ msg }) => msg),
    ['w', 'e'],
  )
  assert.equal(linesAt('silent', all), [])
})

test('of a foreign error only name and stack are logged: its message may quote what a peer wrote', () => {
  const fields = errorFields(new SyntaxError('Unexpected token in "my secret prompt"'))
  assert.match(String(fields['bug']), /^SyntaxError\n {4}at /)
  assert.not.match(String(fields['bug']), /secret/)
  assert.match(String(errorFields(new InvariantError('invariant broken: x'))['bug']), /^invariant broken: x\n/)
  assert.equal(errorFields('text of a peer'), { bug: 'string' })
})

test('a coded error is its code and detail', () => {
  assert.equal(errorFields(new FabricError('CF_STORE_FAILED', { sqlite: 13 }, new Error('disk'))), {
    sqlite: 13,
    code: 'CF_STORE_FAILED',
  })
})

test.run()
