/** The words in which routes are described: one row of a table for each, from which roles, documentation and tests follow. */
import type { Role } from '../runtime/access.ts'

/** A JSON Schema, draft 2020-12, as OpenAPI 3.1 embeds it. */
export type Schema = Readonly<Record<string, unknown>>
export type Parameter = {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly required?: boolean
  readonly schema: Schema
}
/** Content by media type. */
export type Content = Readonly<Record<string, Schema>>
export type Answer = { readonly description: string; readonly content: Content }

export type Operation = {
  readonly id: string
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As the router writes it: `/v1/models/:id`. */
  readonly path: string
  /** Who may call it; `open` asks for no key wherever the node listens. */
  readonly role: Role | 'open'
  readonly tag: string
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly body?: Content
  readonly answers: Readonly<Record<string, Answer>>
  /** Statuses of its own refusals, beyond those that every route has. */
  readonly errors?: readonly number[]
}

export const text: Schema = { type: 'string' }
export const textOrNull: Schema = { type: ['string', 'null'] }
export const integer: Schema = { type: 'integer' }
export const integerOrNull: Schema = { type: ['integer', 'null'] }
export const flag: Schema = { type: 'boolean' }
export const count: Schema = { type: 'integer', minimum: 0 }
export const time: Schema = { type: 'string', format: 'date-time' }
export const amount: Schema = { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]{1,6})?$', description: 'Credits.' }
export const amountOrNull: Schema = { ...amount, type: ['string', 'null'] }
export const hash: Schema = { type: 'string', pattern: '^[0-9a-f]{64}$' }
export const hashOrNull: Schema = { ...hash, type: ['string', 'null'] }
export const decimal: Schema = { type: 'string', pattern: '^[0-9]+$' }

export function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

export function list(items: Schema): Schema {
  return { type: 'array', items }
}

export function oneOf(...values: readonly string[]): Schema {
  return { type: 'string', enum: values }
}

/** @param required  members that are always there */
export function object(
  required: Readonly<Record<string, Schema>>,
  optional: Readonly<Record<string, Schema>> = {},
): Schema {
  const names = Object.keys(required)
  return {
    type: 'object',
    ...(names.length === 0 ? {} : { required: names }),
    properties: { ...required, ...optional },
  }
}

export function json(schema: Schema): Content {
  return { 'application/json': schema }
}

/** The answer 200 with this JSON. */
export function ok(description: string, schema: Schema): Operation['answers'] {
  return { 200: { description, content: json(schema) } }
}

export function inPath(name: string, description: string, schema: Schema = text): Parameter {
  return { name, in: 'path', required: true, description, schema }
}

export function inQuery(name: string, description: string, schema: Schema = text): Parameter {
  return { name, in: 'query', description, schema }
}

export const PAGE: readonly Parameter[] = [
  inQuery('limit', 'Items of the page, 1 to 200.', { type: 'integer', minimum: 1, maximum: 200 }),
  inQuery('cursor', '`next_cursor` of the page before.', decimal),
]
export const IDEMPOTENCY: Parameter = {
  ...{ name: 'Idempotency-Key', in: 'header', schema: { type: 'string', minLength: 1, maxLength: 128 } },
  description: 'The same key with the same content is the same request: it is done once and answered alike.',
}
