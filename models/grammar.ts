/** Grammars that hold a model to JSON: any object, or the instances of a schema. */
import { SchemaFault } from './grammar/fault.ts'
import { type Schema, SchemaRules } from './grammar/schema-rules.ts'

/** Also of values that the schema holds: writing deeper ones as text would overflow the stack. */
const NESTING_MAX = 256

/** GBNF of any JSON object. */
export function jsonObjectGrammar(): string {
  const rules = new SchemaRules()
  return rules.text(rules.use('object'))
}

/**
 * GBNF of what is valid by a JSON schema; bounded in time and size whatever the schema.
 *
 * @returns `fault`: what would be accepted, to follow the word "expected"
 */
export function jsonSchemaGrammar(schema: Schema): { readonly gbnf: string } | { readonly fault: string } {
  if (!isWithinDepth(schema, NESTING_MAX)) return { fault: `at most ${NESTING_MAX} levels` }
  const rules = new SchemaRules()
  try {
    return { gbnf: rules.text(rules.visit(schema)) }
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error
    return { fault: error.expected }
  }
}

function isWithinDepth(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((part: unknown) => isWithinDepth(part, levels - 1))
}
