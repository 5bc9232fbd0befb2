/** The grammar of an answer that calls tools and does nothing else. */
import type { ToolFormat, ToolSpec } from '../backend.ts'
import { SchemaFault } from '../grammar/fault.ts'
import { literal } from '../grammar/rules.ts'
import { SchemaRules } from '../grammar/schema-rules.ts'
import { CALL_MARKS, type CallMarks } from './formats.ts'

/** Calls of one answer. */
const CALLS_MAX = 8

/**
 * @param choice   any of the tools, or the one of that name: that one is called once
 * @param hasMany  whether `required` may become several calls, where the format has them
 * @returns `fault`: what would be accepted of the tools, to follow the word "expected"
 */
export function toolGrammar(
  format: ToolFormat,
  tools: readonly ToolSpec[],
  choice: 'required' | { readonly name: string },
  hasMany: boolean,
): { readonly gbnf: string } | { readonly fault: string } {
  const marks = CALL_MARKS[format]
  const called = choice === 'required' ? tools : tools.filter(({ name }) => name === choice.name)
  const rules = new SchemaRules()
  try {
    const calls = called.map((tool) => callOf(tool, marks, rules))
    const call = rules.define(rules.reserve('call'), calls.join(' | '))
    const more = hasMany && choice === 'required' && marks.hasMany ? CALLS_MAX - 1 : 0
    return { gbnf: rules.text(answerOf(call, marks, more)) }
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error
    return { fault: `${error.expected} for the parameters of a call that is forced` }
  }
}

function answerOf(call: string, { open, close, isList, between }: CallMarks, more: number): string {
  if (isList !== true) return `${call}${several(`${written(between)} ${call}`, more)}`
  const list = `"[" ${call}${several(`${written(between)} ${call}`, more)} "]"`
  return [literal(open ?? ''), '" "?', list, written(close)].filter((part) => part !== '').join(' ')
}

function several(expression: string, countMax: number): string {
  return countMax === 0 ? '' : ` ( ${expression} ){0,${countMax}}`
}

function callOf({ name, parameters }: ToolSpec, marks: CallMarks, rules: SchemaRules): string {
  const { open, close, named, isList, given } = marks
  const object = argumentsOf(parameters, rules)
  if (named !== undefined)
    return [written(`${open ?? ''}${named.before}${name}${named.after}`), object, written(close)]
      .filter((part) => part !== '')
      .join(' ')
  const call = `${literal(`{"name": ${JSON.stringify(name)}, "${given}": `)} ${object} "}"`
  if (isList === true || open === undefined) return call
  return `${literal(open)} "\\n" ${call} "\\n" ${literal(close ?? '')}`
}

/** What a call hands over is an object, also where its schema does not say so; one that lists no keys has none. */
function argumentsOf(parameters: ToolSpec['parameters'], rules: SchemaRules): string {
  const { type = 'object', properties = {}, ...more } = parameters
  if (type !== 'object') throw new SchemaFault('a schema of type object')
  // Beside a reference or alternatives nothing else may constrain.
  if (['$ref', 'anyOf', 'oneOf', 'allOf'].some((keyword) => keyword in more)) return rules.visit(parameters)
  const isEmpty = Object.keys(Object(properties)).length === 0 && !('additionalProperties' in more)
  return isEmpty ? '"{}"' : rules.visit({ ...parameters, type })
}

/** A text as it stands; newlines written out. */
function written(text = ''): string {
  return text === '' ? '' : literal(text).replaceAll('\n', '\\n')
}
