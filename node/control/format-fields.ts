/** `response_format`: the form of an answer, as the grammar that it then follows. */

import { LIMITS } from '../../core/limits.ts'
import { jsonObjectGrammar, jsonSchemaGrammar } from '../../models/grammar.ts'
import { type Fields, flag, object, oneOf, optional, parsed, refuseUnknown, required } from './fields.ts'
import { badRequest } from './problem.ts'

const MEMBERS = {
  text: new Set(['type']),
  json_object: new Set(['type']),
  json_schema: new Set(['type', 'json_schema']),
} as const
const SCHEMA_MEMBERS = new Set(['name', 'description', 'schema', 'strict'])
const NAME = /^[a-zA-Z0-9_-]{1,64}$/

/**
 * Strict or not, an answer of a schema follows it: `strict` changes nothing.
 *
 * @returns undefined when the answer is any text
 */
export function readFormat(fields: Fields): string | undefined {
  const format = optional(fields, 'response_format', object)
  if (format === undefined) return undefined
  const type = required(format, 'type', oneOf('text', 'json_object', 'json_schema'), 'response_format.')
  refuseUnknown(format, MEMBERS[type], 'response_format.')
  if (type === 'text') return undefined
  return type === 'json_object' ? jsonObjectGrammar() : readSchema(format)
}

function readSchema(format: Fields): string {
  const path = 'response_format.json_schema'
  const described = required(format, 'json_schema', object, 'response_format.')
  refuseUnknown(described, SCHEMA_MEMBERS, `${path}.`)
  required(described, 'name', parsed(nameOf, 'a name of 1 to 64 letters, digits, _ and -'), `${path}.`)
  optional(described, 'description', parsed(textOf, 'a string'), `${path}.`)
  optional(described, 'strict', flag, `${path}.`)
  const schema = optional(described, 'schema', object, `${path}.`)
  if (schema === undefined) return jsonObjectGrammar()
  const grammar = jsonSchemaGrammar(schema)
  if ('fault' in grammar) throw badRequest(`${path}.schema`, grammar.fault)
  if (Buffer.byteLength(grammar.gbnf) > LIMITS.grammarBytesMax)
    throw badRequest(`${path}.schema`, `a schema whose grammar is at most ${LIMITS.grammarBytesMax} bytes`)
  return grammar.gbnf
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const nameOf = (value: unknown): string | undefined =>
  typeof value === 'string' && NAME.test(value) ? value : undefined
