/**
 * Runs a model's Jinja template within bounds, the same way at any time and on any machine.
 *
 * Why bounds: the template is part of a model file that anyone may have written, and runs in the process of the engine. What it may
 * do is counted in steps and characters, not in time, so that it is refused everywhere or nowhere.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'
import { FabricError } from '../../core/errors.ts'
import { strftime } from './fixed-date.ts'

export type Variables = Readonly<Record<string, unknown>>
export type Template = (variables: Variables) => string

/** The package's types cannot be resolved from outside of it: this is what is used of them. */
type Value = { readonly value: unknown }
type Scope = { set(name: string, value: unknown): unknown }
type Engine = {
  run(program: object): Value
  evaluate(statement: object | undefined, scope: Scope): Value
}

const TEMPLATE_CHARS_MAX = 262_144
/** The lexer's time grows with the square of a run's length. */
const SPACES_MAX = /\s{1025}/
/** Nodes of the program that are evaluated, and items of the lists and objects that they give. */
const STEPS_MAX = 2_000_000
/** Of any text that a template makes, its result too. */
const TEXT_CHARS_MAX = 8_388_608
/** Of all of them together. */
const WORK_CHARS_MAX = 1_073_741_824
const ITEMS_MAX = 100_000

/** A template that does more than any honest one: what it did not do within one rendering, it will not do within another. */
export class TemplateTooCostly extends RangeError {}

/** @throws FabricError CF_MODEL_LOAD_FAILED `template_invalid` for a text that is no template */
export function compileTemplate(text: string): Template {
  const program = parsed(text)
  return (variables) => {
    const scope: Scope = new Environment()
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) scope.set(name, value)
    const { value } = new BoundedEngine(scope).run(program)
    if (typeof value !== 'string') throw new TypeError('a template renders a text')
    return value
  }
}

function parsed(text: string): object {
  if (text.length > TEMPLATE_CHARS_MAX || SPACES_MAX.test(text)) throw invalidTemplate()
  try {
    return parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }))
  } catch (error) {
    throw invalidTemplate(error)
  }
}

export function invalidTemplate(cause?: unknown): FabricError {
  return new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'template_invalid' }, cause)
}

const Unbounded: new (scope: Scope) => Engine = Interpreter

class BoundedEngine extends Unbounded {
  #steps = 0
  #chars = 0

  override evaluate(statement: object | undefined, scope: Scope): Value {
    this.#spend(1)
    const result = super.evaluate(statement, scope)
    this.#weigh(result.value)
    return result
  }

  #spend(steps: number): void {
    this.#steps += steps
    if (this.#steps > STEPS_MAX) throw new TemplateTooCostly('the template takes too many steps')
  }

  #weigh(value: unknown): void {
    if (Array.isArray(value)) this.#spend(value.length)
    if (value instanceof Map) this.#spend(value.size)
    if (typeof value !== 'string') return
    this.#chars += value.length
    if (value.length > TEXT_CHARS_MAX || this.#chars > WORK_CHARS_MAX)
      throw new TemplateTooCostly('the template makes too much text')
  }
}

/** What every template finds beside the conversation. */
const GLOBALS: Variables = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
  range,
  strftime_now: strftime,
  raise_exception(message: unknown) {
    throw new Error(String(message))
  },
}

function range(first: number, second?: number, step = 1): readonly number[] {
  const [from, to] = second === undefined ? [0, first] : [first, second]
  const count = Math.ceil((to - from) / step)
  if (!(count <= ITEMS_MAX)) throw new TemplateTooCostly('the template counts too far')
  return Array.from({ length: Math.max(0, count) }, (_, index) => from + index * step)
}
