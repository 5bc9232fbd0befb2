/** The arguments of a call as Gemma writes them: names without quotes, strings between marks of their own. */

const STRING_MARK = '<|"|>'
const NAME = /([{,]\s*)([^\s{}[\],:"]+)\s*:/g

/** @returns JSON text of an object; undefined when it is none */
export function jsonOfGemma(text: string): string | undefined {
  // Every second part lies between two marks: it is a string, whatever it looks like.
  const json = text
    .split(STRING_MARK)
    .map((part, index) => (index % 2 === 1 ? JSON.stringify(part) : part.replace(NAME, '$1"$2":')))
    .join('')
  return isObject(text) ? text.trim() : isObject(json) ? json : undefined
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
