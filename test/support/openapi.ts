/** Checks answers of a running control plane against the schemas of its own document. */

import Schema from 'typebox/schema'
import * as assert from 'uvu/assert'
import { member } from '../../node/commands/json.ts'
import { documentPath } from '../../node/control/openapi.ts'
import type { Reply } from './control.ts'

type Node = Readonly<Record<string, unknown>>

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The schema with its references put in place, and closed: an answer with a member that the document does not know is a fault of the
 * document, though readers of it must bear with one.
 */
export function closed(schema: unknown, document: unknown): unknown {
  if (Array.isArray(schema)) return schema.map((inner) => closed(inner, document))
  if (!isNode(schema)) return schema
  if (typeof schema['$ref'] === 'string') return closed(pointed(schema['$ref'], document), document)
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value, document)]))
  return isNode(schema['properties']) ? { ...inner, additionalProperties: false } : inner
}

function pointed(pointer: string, document: unknown): unknown {
  const found = member(document, ...pointer.slice('#/'.length).split('/'))
  assert.ok(found !== undefined, `${pointer} points at nothing`)
  return found
}

/**
 * @param path  as the router writes it
 * @returns     what of the answer is not as the document says, or undefined
 */
export function faultOf(
  document: unknown,
  method: string,
  path: string,
  { status, body }: Pick<Reply, 'status' | 'body'>,
): string | undefined {
  const operation = member(document, 'paths', documentPath(path), method.toLowerCase())
  const response = member(operation, 'responses', String(status))
  if (response === undefined) return `${method} ${path} does not say that it answers ${status}`
  const answer =
    isNode(response) && typeof response['$ref'] === 'string' ? pointed(response['$ref'], document) : response
  const schema = closed(member(answer, 'content', 'application/json', 'schema'), document)
  if (!isNode(schema)) return `${method} ${path} ${status} has no schema`
  const [isValid, errors] = Schema.Compile(schema).Errors(JSON.parse(body))
  return isValid ? undefined : `${method} ${path} ${status}: ${JSON.stringify(errors)} in ${body.slice(0, 1_000)}`
}
