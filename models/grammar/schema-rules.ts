/**
 * JSON Schema to grammar rules: whatever they match is valid by the schema.
 *
 * Not the other way round: of what a schema allows, keys come in the order in which it lists them, and keys that it does not list come
 * only where it lists none. What would constrain and cannot be held to is refused by name.
 *
 * @see JSON Schema 2020-12
 */
import { LIMITS } from '../../core/limits.ts'
import { SchemaFault, unsupported } from './fault.ts'
import { formatOf } from './formats.ts'
import { integerRange } from './integer-range.ts'
import { patternExpression } from './pattern.ts'
import { literal, Rules, repeated } from './rules.ts'

export type Schema = Readonly<Record<string, unknown>>

type Type = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null'

const TYPES: ReadonlySet<unknown> = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'])
/** Schemas inside of schemas. */
const DEPTH_MAX = 64
const COUNT_MAX = 2_000
const REPEAT_MAX = 2_000
/** These constrain, and no rule can hold to them, or none here does. */
const UNSUPPORTED = [
  ...['not', 'if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies', '$dynamicRef', '$anchor'],
  ...['patternProperties', 'propertyNames', 'minProperties', 'maxProperties', 'unevaluatedProperties'],
  ...['contains', 'minContains', 'maxContains', 'unevaluatedItems', 'additionalItems'],
  ...['contentEncoding', 'contentMediaType', 'multipleOf'],
]
/** What may stand beside a list of values. */
const BESIDE_VALUES = ['enum', 'const', 'type']
/** Beside one of these nothing else may constrain. */
const ALONE = ['$ref', 'anyOf', 'oneOf', 'allOf']
const CONSTRAINING = [
  ...[...ALONE, 'enum', 'const', 'type', 'properties', 'required', 'additionalProperties', 'items', 'prefixItems'],
  ...['minItems', 'maxItems', 'minLength', 'maxLength', 'format', 'pattern'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
]

/** Where a schema stands: its JSON pointer, how deep, and which references led here without a character in between. */
type Place = { readonly path: string; readonly depth: number; readonly open: ReadonlySet<string> }

export class SchemaRules extends Rules {
  #root: unknown
  readonly #references = new Map<string, string>()
  #count = 0

  constructor() {
    super(LIMITS.grammarBytesMax)
  }

  /**
   * Adds a schema's rules; `#` in its references is the schema itself.
   *
   * @returns an expression for its instances
   * @throws  SchemaFault
   */
  visit(schema: unknown): string {
    this.#root = schema
    this.#references.clear()
    return this.#visit(schema, { path: '', depth: 0, open: new Set() })
  }

  #visit(schema: unknown, place: Place): string {
    const { path, depth } = place
    this.#count += 1
    if (depth > DEPTH_MAX) throw new SchemaFault(`a schema of at most ${DEPTH_MAX} levels`)
    if (this.#count > COUNT_MAX) throw new SchemaFault(`a schema of at most ${COUNT_MAX} parts`)
    if (schema === true) return this.use('value')
    if (!isObject(schema)) throw new SchemaFault(`a schema object (at #${path.slice(0, 128)})`)
    const refused = UNSUPPORTED.find((keyword) => keyword in schema)
    if (refused !== undefined) throw unsupported(refused, path)
    if (schema['uniqueItems'] === true) throw unsupported('uniqueItems', path)
    const found = this.#constrained(schema, place)
    return schema['nullable'] === true ? `( ${found} | ${this.use('null')} )` : found
  }

  #constrained(schema: Schema, place: Place): string {
    const alone = ALONE.find((keyword) => keyword in schema)
    if (alone !== undefined) {
      const other = CONSTRAINING.find((keyword) => keyword !== alone && keyword in schema)
      if (other !== undefined) throw unsupported(`${other} beside ${alone}`, place.path)
    }
    if (schema['$ref'] !== undefined) return this.#reference(schema['$ref'], place)
    if ('anyOf' in schema) return this.#alternatives(schema['anyOf'], 'anyOf', place)
    if ('oneOf' in schema) return this.#alternatives(schema['oneOf'], 'oneOf', place)
    if ('allOf' in schema) return this.#onlyOne(schema['allOf'], place)
    if ('const' in schema || 'enum' in schema) return this.#listed(schema, place)
    const types = typesOf(schema, place.path)
    return types.length === 1
      ? this.#typed(types[0] ?? 'null', schema, place)
      : `( ${types.map((type) => this.#typed(type, schema, place)).join(' | ')} )`
  }

  /** Each place that is referred to is one rule, so that a schema may contain itself. */
  #reference(reference: unknown, place: Place): string {
    if (typeof reference !== 'string' || !reference.startsWith('#'))
      throw unsupported('a $ref to elsewhere', place.path)
    if (place.open.has(reference)) throw new SchemaFault(`a $ref that is not its own meaning (at #${place.path})`)
    const known = this.#references.get(reference)
    if (known !== undefined && !place.open.has(reference)) return known
    const name = this.reserve('ref')
    this.#references.set(reference, name)
    const open = new Set([...place.open, reference])
    const target = resolve(this.#root, reference)
    return this.define(name, this.#visit(target, { path: reference.slice(1), depth: place.depth + 1, open }))
  }

  #alternatives(list: unknown, keyword: string, { path, depth, open }: Place): string {
    if (!Array.isArray(list) || list.length === 0) throw new SchemaFault(`a list of schemas (at #${path}/${keyword})`)
    const found = list.map((schema, index) =>
      this.#visit(schema, { path: `${path}/${keyword}/${index}`, depth: depth + 1, open }),
    )
    return found.length === 1 ? (found[0] ?? '') : `( ${found.join(' | ')} )`
  }

  #onlyOne(list: unknown, { path, depth, open }: Place): string {
    if (!Array.isArray(list) || list.length !== 1) throw unsupported('allOf of several schemas', path)
    return this.#visit(list[0], { path: `${path}/allOf/0`, depth: depth + 1, open })
  }

  #listed(schema: Schema, { path }: Place): string {
    const other = CONSTRAINING.find((keyword) => !BESIDE_VALUES.includes(keyword) && keyword in schema)
    if (other !== undefined) throw unsupported(`${other} beside enum or const`, path)
    const { type, enum: listed, const: only } = schema
    if (listed !== undefined && !Array.isArray(listed)) throw new SchemaFault(`a list of values (at #${path}/enum)`)
    const isOnly = (value: unknown): boolean => !('const' in schema) || JSON.stringify(value) === JSON.stringify(only)
    const values = (listed ?? [only]).filter(isOnly)
    const types: readonly unknown[] = type === undefined ? [] : [type].flat()
    const fitting = values.filter((value) => types.length === 0 || types.some((one) => isOf(value, one)))
    if (fitting.length === 0) throw new SchemaFault(`a value that is of its type and in its enum (at #${path})`)
    const found = fitting.map((value) => literal(JSON.stringify(value)))
    return found.length === 1 ? (found[0] ?? '') : `( ${found.join(' | ')} )`
  }

  #typed(type: Type, schema: Schema, place: Place): string {
    switch (type) {
      case 'object':
        return this.#object(schema, place)
      case 'array':
        return this.#array(schema, place)
      case 'string':
        return this.#string(schema, place)
      case 'integer':
      case 'number':
        return this.#number(type, schema, place)
      default:
        return this.use(type)
    }
  }

  #object(schema: Schema, place: Place): string {
    const { properties = {}, required = [], additionalProperties } = schema
    if (!isObject(properties) || !Array.isArray(required))
      throw new SchemaFault(`properties and required of an object (at #${place.path})`)
    const missing = required.find((name) => typeof name !== 'string' || !Object.hasOwn(properties, name))
    if (missing !== undefined) throw new SchemaFault(`properties with every required name (at #${place.path})`)
    const names = Object.keys(properties)
    if (names.length === 0) return this.#map(additionalProperties, place)
    const members = names.map((name) => {
      const inside = this.#inside(place, `/properties/${escaped(name)}`)
      return `${literal(`${JSON.stringify(name)}:`)} ws ${this.#visit(properties[name], inside)}`
    })
    const isRequired = names.map((name) => required.includes(name))
    return this.define(
      this.reserve('object'),
      this.require(`"{" ws ${this.#members(members, isRequired, 0, false)} ws "}"`),
    )
  }

  /** Of an object that lists no keys. */
  #map(values: unknown, place: Place): string {
    if (values === false) return this.require('"{" ws "}"')
    if (values === undefined || values === true) return this.use('object')
    const value = this.#visit(values, this.#inside(place, '/additionalProperties'))
    const member = this.define(this.reserve('member'), this.require(`string ":" ws ${value}`))
    return this.require(`"{" ws ( ${member} ( "," ws ${member} )* )? ws "}"`)
  }

  /** The keys from `index` on. Each optional one opens a rule of its own, so that the text grows with the keys and not with their subsets. */
  #members(members: readonly string[], isRequired: readonly boolean[], index: number, hasSome: boolean): string {
    const member = members[index]
    if (member === undefined) return ''
    const said = `${hasSome ? '"," ws ' : ''}${member}`
    if (isRequired[index] === true) return `${said} ${this.#members(members, isRequired, index + 1, true)}`
    const after = this.#rest(members, isRequired, index + 1, true)
    const without = hasSome ? after : this.#rest(members, isRequired, index + 1, false)
    return `( ${said} ${after} | ${without === '' ? '""' : without} )`
  }

  readonly #rests = new Map<string, string>()

  #rest(members: readonly string[], isRequired: readonly boolean[], index: number, hasSome: boolean): string {
    if (index === members.length) return ''
    const key = `${members.join('\n')} ${index} ${hasSome}`
    const known = this.#rests.get(key)
    if (known !== undefined) return known
    const name = this.reserve('rest')
    this.#rests.set(key, name)
    return this.define(name, this.require(this.#members(members, isRequired, index, hasSome)))
  }

  #array(schema: Schema, place: Place): string {
    const { items, prefixItems = [] } = schema
    const min = countOf(schema, 'minItems', place.path) ?? 0
    const max = countOf(schema, 'maxItems', place.path)
    if (!Array.isArray(prefixItems)) throw new SchemaFault(`a list of schemas (at #${place.path}/prefixItems)`)
    if (max !== undefined && max < min) throw new SchemaFault(`maxItems >= minItems (at #${place.path})`)
    if (prefixItems.length > 0) return this.#tuple(prefixItems, items, min, max, place)
    const item = items === undefined ? this.use('value') : this.#visit(items, this.#inside(place, '/items'))
    if (max === 0) return this.require('"[" ws "]"')
    const rule = this.define(this.reserve('item'), this.require(item))
    const more = repeated(`( "," ws ${rule} )`, Math.max(0, min - 1), max === undefined ? undefined : max - 1)
    const some = `${rule} ${more}`
    return this.require(`"[" ws ${min === 0 ? `( ${some} )?` : some} ws "]"`)
  }

  /** Every place of the list is filled, and nothing comes after it. */
  #tuple(list: readonly unknown[], items: unknown, min: number, max: number | undefined, place: Place): string {
    if (min > list.length || (max !== undefined && max < list.length))
      throw unsupported('prefixItems of another length', place.path)
    if (items !== undefined && items !== false && !isObject(items))
      throw unsupported('items beside prefixItems', place.path)
    const found = list.map((schema, index) => this.#visit(schema, this.#inside(place, `/prefixItems/${index}`)))
    return this.require(`"[" ws ${found.join(' "," ws ')} ws "]"`)
  }

  #string(schema: Schema, { path }: Place): string {
    const { format, pattern } = schema
    const min = countOf(schema, 'minLength', path)
    const max = countOf(schema, 'maxLength', path)
    if (pattern !== undefined) {
      if ((format ?? min ?? max) !== undefined) throw unsupported('a length or format beside pattern', path)
      return `"\\"" ${this.#patterned(pattern, path)} "\\""`
    }
    if (format !== undefined) {
      const expression = formatOf(format)
      if (expression === undefined) throw unsupported(`format ${JSON.stringify(format)}`, path)
      if (min !== undefined || max !== undefined) throw unsupported('a length beside format', path)
      return `"\\"" ${expression} "\\""`
    }
    if (min === undefined && max === undefined) return this.use('string')
    if (max !== undefined && max < (min ?? 0)) throw new SchemaFault(`maxLength >= minLength (at #${path})`)
    return this.require(`"\\"" ${repeated('char', min ?? 0, max)} "\\""`)
  }

  /** A rule of its own: its alternatives are none of the text around it. */
  #patterned(pattern: unknown, path: string): string {
    if (typeof pattern !== 'string') throw new SchemaFault(`pattern that is a string (at #${path})`)
    return this.define(this.reserve('pattern'), patternExpression(pattern, this.use('char'), `${path}/pattern`))
  }

  #number(type: 'integer' | 'number', schema: Schema, { path }: Place): string {
    const bound = (name: string): number | undefined => boundOf(schema, name, path)
    const [min, max] = [bound('minimum'), bound('maximum')]
    const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')]
    if ([min, max, above, below].every((one) => one === undefined)) return this.use(type)
    if (type === 'number') {
      if (min !== 0 || max !== undefined || above !== undefined || below !== undefined)
        throw unsupported('bounds of a number other than minimum 0', path)
      return this.require('natural fraction')
    }
    const least = Math.max(Math.ceil(min ?? -Infinity), above === undefined ? -Infinity : Math.floor(above) + 1)
    const most = Math.min(Math.floor(max ?? Infinity), below === undefined ? Infinity : Math.ceil(below) - 1)
    if (least > most) throw new SchemaFault(`bounds with an integer between them (at #${path})`)
    return `( ${integerRange(least, most)} )`
  }

  /** Behind a character of its own: what led here may be referred to again. */
  #inside({ path, depth }: Place, step: string): Place {
    return { path: `${path}${step}`, depth: depth + 1, open: new Set() }
  }
}

function typesOf({ type, ...rest }: Schema, path: string): readonly Type[] {
  const list: readonly unknown[] = type === undefined ? implied(rest) : [type].flat()
  if (list.length === 0 || !list.every(isType)) throw new SchemaFault(`a type of JSON Schema (at #${path})`)
  return list
}

/** Without a type anything goes, but for what the other keywords speak of: they are held to by giving that type. */
function implied(schema: Schema): readonly Type[] {
  if (['properties', 'required', 'additionalProperties'].some((keyword) => keyword in schema)) return ['object']
  if (['items', 'prefixItems', 'minItems', 'maxItems'].some((keyword) => keyword in schema)) return ['array']
  if (['minLength', 'maxLength', 'format', 'pattern'].some((keyword) => keyword in schema)) return ['string']
  if (['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].some((keyword) => keyword in schema))
    return ['number']
  return ['object', 'array', 'string', 'number', 'boolean', 'null']
}

function isType(value: unknown): value is Type {
  return TYPES.has(value)
}

function isOf(value: unknown, type: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'null') return value === null
  return type === 'object' ? isObject(value) : typeof value === type
}

function countOf(schema: Schema, name: string, path: string): number | undefined {
  const value = schema[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= REPEAT_MAX) return value
  throw new SchemaFault(`${name} of at most ${REPEAT_MAX} (at #${path})`)
}

function boundOf(schema: Schema, name: string, path: string): number | undefined {
  const value = schema[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value
  throw new SchemaFault(`${name} within 2^53 (at #${path})`)
}

/** @see RFC 6901 */
function resolve(root: unknown, reference: string): unknown {
  let found = root
  for (const token of reference.slice(1).split('/').slice(1)) {
    const name = decoded(token).replaceAll('~1', '/').replaceAll('~0', '~')
    const next =
      (isObject(found) || Array.isArray(found)) && Object.hasOwn(found, name) ? Reflect.get(found, name) : undefined
    if (next === undefined) throw new SchemaFault(`a $ref that leads somewhere (${reference.slice(0, 128)})`)
    found = next
  }
  return found
}

function decoded(token: string): string {
  try {
    return decodeURIComponent(token)
  } catch {
    throw new SchemaFault(`a $ref that is a URI (${token.slice(0, 128)})`)
  }
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
