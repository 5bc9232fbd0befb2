/** The tools of a chat as its payload carries them: JSON text that came from another peer. */
import { LIMITS } from '../../core/limits.ts'
import type { ToolSpec } from '../../models/backend.ts'

/** @returns none for '', undefined for what is no list of tools within the bounds */
export function parseTools(text: string): readonly ToolSpec[] | undefined {
  if (text === '') return []
  if (text.length > LIMITS.toolsBytesMax || nesting(text) > LIMITS.toolsDepthMax) return undefined
  const tools = parsedJson(text)
  if (!Array.isArray(tools) || tools.length === 0 || tools.length > LIMITS.toolCountMax) return undefined
  const items: readonly unknown[] = tools
  return items.every(isTool) ? items : undefined
}

/** Deepest nesting of arrays and objects in JSON text. Why before parsing: whoever walks the value later may do so by recursion. */
export function nesting(text: string): number {
  let [depth, deepest, isQuoted] = [0, 0, false]
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]
    if (isQuoted && char === '\\') at += 1
    else if (char === '"') isQuoted = !isQuoted
    else if (isQuoted) continue
    else if (char === '[' || char === '{') deepest = Math.max(deepest, ++depth)
    else if (char === ']' || char === '}') depth -= 1
  }
  return deepest
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isTool(value: unknown): value is ToolSpec {
  if (!isObject(value)) return false
  const { name, description, parameters } = value
  return isName(name) && typeof description === 'string' && isObject(parameters) && Object.keys(value).length === 3
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value.length >= 1 && value.length <= LIMITS.toolNameBytesMax
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
