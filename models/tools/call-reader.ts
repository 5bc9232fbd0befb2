/** One call of a tool as models write it: a JSON object that comes in pieces, its arguments passed on as they come. */

export type CallPart = { readonly name?: string; readonly arguments: string }
export type CallRead = {
  /** Characters that belong to the call. */
  readonly used: number
  readonly parts: readonly CallPart[]
  /** `other`: it is JSON, or none, but no call. */
  readonly state: 'open' | 'done' | 'other'
}

/** A name, then what the call hands over, which is nearly always the order. */
const HEAD = /^\{\s*"name"\s*:\s*"((?:[^"\\]|\\.)*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/
/** Longer heads are read when the call is whole. */
const HEAD_CHARS_MAX = 512
const FIRST_KEY = /^\{\s*(?:"([^"\\]*)"|[^\s"])/
const KEYS: ReadonlySet<string | undefined> = new Set(['name', 'arguments', 'parameters', 'function', 'type', 'id'])
const FUNCTION_LEVELS = 2

export class CallReader {
  readonly #isName: (name: string) => boolean
  readonly #isBare: boolean
  #text = ''
  #scanned = 0
  #depth = 0
  #isQuoted = false
  #isEscaped = false
  /** Where the arguments begin, -1 as long as nobody knows. */
  #start = -1
  /** Behind the arguments. */
  #end = Number.POSITIVE_INFINITY
  #told = 0

  /**
   * @param isName  whether something of that name may be called
   * @param name    of a call whose object is nothing but the arguments
   */
  constructor(isName: (name: string) => boolean, name?: string) {
    this.#isName = isName
    this.#isBare = name !== undefined
    if (this.#isBare) this.#start = 0
  }

  /** All that was read. */
  get text(): string {
    return this.#text
  }

  /** Whether some of it has been passed on already. */
  get isTold(): boolean {
    return this.#start >= 0
  }

  /** @param piece  begins with `{` at the first time */
  read(piece: string): CallRead {
    const before = this.#text.length
    this.#text += piece
    const name = this.#name()
    if (name !== undefined && !this.#isName(name)) return { used: 0, parts: [], state: 'other' }
    if (!this.isTold && !isPlausible(this.#text)) return { used: 0, parts: [], state: 'other' }
    const end = this.#scan()
    if (end < 0) return { used: piece.length, parts: this.#parts(name, this.#text.length), state: 'open' }
    this.#text = this.#text.slice(0, end)
    const used = end - before
    if (this.isTold) return { used, parts: this.#parts(name, end), state: 'done' }
    const whole = callIn(parsedJson(this.#text), FUNCTION_LEVELS)
    if (whole === undefined || !this.#isName(whole.name)) return { used, parts: [], state: 'other' }
    return { used, parts: [whole], state: 'done' }
  }

  /** The name, the moment that the head is whole. */
  #name(): string | undefined {
    if (this.isTold) return undefined
    const match = HEAD.exec(this.#text.slice(0, HEAD_CHARS_MAX))
    if (match === null) return undefined
    const name = parsedJson(`"${match[1]}"`)
    if (typeof name !== 'string') return undefined
    this.#start = match[0].length
    this.#told = this.#start
    return name
  }

  #parts(name: string | undefined, until: number): readonly CallPart[] {
    if (!this.isTold) return []
    const end = Math.min(until, this.#end)
    const given = this.#text.slice(this.#told, Math.max(end, this.#told))
    this.#told = Math.max(end, this.#told)
    if (name === undefined) return given === '' ? [] : [{ arguments: given }]
    return [{ name, arguments: given }]
  }

  /** @returns where the object has ended, or -1 */
  #scan(): number {
    for (; this.#scanned < this.#text.length; this.#scanned += 1) {
      this.#take(this.#text[this.#scanned])
      if (this.#depth === 0) return this.#scanned + 1
      if (this.#isBehindArguments()) this.#end = Math.min(this.#end, this.#scanned + 1)
    }
    return -1
  }

  /** Whether the character that was just scanned closes the arguments inside of the call. */
  #isBehindArguments(): boolean {
    if (this.#isBare || !this.isTold || this.#scanned <= this.#start) return false
    return this.#depth === 1 && !this.#isQuoted && this.#text[this.#scanned] === '}'
  }

  #take(char: string | undefined): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (this.#isQuoted && char === '\\') this.#isEscaped = true
    else if (char === '"') this.#isQuoted = !this.#isQuoted
    else if (this.#isQuoted) return
    else if (char === '{' || char === '[') this.#depth += 1
    else if (char === '}' || char === ']') this.#depth -= 1
  }
}

/** Whether a text may still become the object of a call. */
function isPlausible(text: string): boolean {
  const first = FIRST_KEY.exec(text)
  return first === null || KEYS.has(first[1])
}

/** @param levels  of objects that have the call as their `function` */
function callIn(value: unknown, levels: number): { readonly name: string; readonly arguments: string } | undefined {
  if (!isObject(value) || levels === 0) return undefined
  const { name, arguments: given = value['parameters'] ?? {} } = value
  if (typeof name !== 'string') return callIn(value['function'], levels - 1)
  if (isObject(given)) return { name, arguments: JSON.stringify(given) }
  // Some write the arguments as JSON inside of a string.
  return typeof given === 'string' && isObject(parsedJson(given)) ? { name, arguments: given } : undefined
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
