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
type Statement = { readonly type: string; readonly assignee?: Statement }
type Scope = { set(name: string, value: unknown): unknown }
type Engine = {
  run(program: object): Value
  evaluate(statement: Statement | undefined, scope: Scope): Value
}

const TEMPLATE_CHARS_MAX = 262_144
/** The lexer's time grows with the square of a run's length. */
const SPACES_MAX = /\s{1025}/
/** Nodes of the program that are evaluated, and items of the lists and objects that they give. */
const STEPS_MAX = 2_000_000
/** Of any text that a template makes, its result too, and of any list or object as it would be written out. */
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
  /** Characters and items of lists and objects, those within them counted as often as they are there. */
  #weights = new WeakMap<Value, number>()

  override evaluate(statement: Statement | undefined, scope: Scope): Value {
    this.#spend(1)
    const result = super.evaluate(statement, scope)
    this.#weigh(result.value)
    // A list of 40 lists, each twice the one before, is small until a filter writes it out in a single step.
    if (isNested(result.value) && this.#weightOf(result) > TEXT_CHARS_MAX) throw tooMuchText()
    if (statement?.type === 'Set') this.#forget(statement.assignee, scope)
    return result
  }

  /** Members of a namespace alone may change: what holds the namespace then weighs more. */
  #forget(assignee: Statement | undefined, scope: Scope): void {
    const isChange = assignee?.type === 'MemberExpression' && isNested(super.evaluate(assignee, scope).value)
    if (isChange) this.#weights = new WeakMap()
  }

  #weightOf(item: Value): number {
    const { value } = item
    if (typeof value === 'string') return value.length
    if (!isNested(value)) return 1
    const known = this.#weights.get(item)
    if (known !== undefined) return known
    let weight = 1
    for (const part of value.values()) weight += this.#weightOf(part)
    this.#weights.set(item, weight)
    return weight
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
    if (value.length > TEXT_CHARS_MAX || this.#chars > WORK_CHARS_MAX) throw tooMuchText()
  }
}

/** Whether the engine's value is a list or an object: their items are values of the engine. */
function isNested(value: unknown): value is readonly Value[] | ReadonlyMap<string, Value> {
  return Array.isArray(value) || value instanceof Map
}

function tooMuchText(): TemplateTooCostly {
  return new TemplateTooCostly('the template makes too much text')
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
