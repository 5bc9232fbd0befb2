/** The daemon's log: events named by the code, with small fields; JSON lines by pino. */
import { type DestinationStream, type Logger as Pino, pino } from 'pino'
import { type ErrorDetail, FabricError } from '../../core/errors.ts'
import { InvariantError } from '../../core/invariant.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
/** Numbers, flags, ids and codes. What a peer or user wrote never goes in: it could forge lines or leak prompts. */
export type LogFields = ErrorDetail

/** @param event  a literal of the code, e.g. `job_settled` */
export type LogWrite = (event: string, fields?: LogFields) => void
export type Logger = {
  readonly debug: LogWrite
  readonly info: LogWrite
  readonly warn: LogWrite
  readonly error: LogWrite
  /** The same log with fields that every line repeats. */
  child(fields: LogFields): Logger
}

/** @param destination  where lines go; absent: standard error, because standard output belongs to what a command prints */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  return wrap(pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination ?? pino.destination(2)))
}

/**
 * The fields that describe an error: its code and detail; for a bug its stack.
 *
 * Why the message of a foreign error is left out: a parser quotes what it was given.
 */
export function errorFields(error: unknown): LogFields {
  if (error instanceof FabricError) return { ...error.detail, code: error.code }
  if (!(error instanceof Error)) return { bug: typeof error }
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return { bug: [error instanceof InvariantError ? error.message : error.name, ...frames].join('\n') }
}

function wrap(log: Pino): Logger {
  return {
    debug: (event, fields) => log.debug(plain(fields), event),
    info: (event, fields) => log.info(plain(fields), event),
    warn: (event, fields) => log.warn(plain(fields), event),
    error: (event, fields) => log.error(plain(fields), event),
    child: (fields) => wrap(log.child(plain(fields))),
  }
}

/** JSON has no bigint. */
function plain(fields: LogFields = {}): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'bigint' ? value.toString() : value]),
  )
}
