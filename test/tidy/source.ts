/** What the tidy tests read: the project's files, their text with or without comments, and what they import. */
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

export const ROOT = path.dirname(path.dirname(import.meta.dirname))

/** Path from the root, with slashes, and text. */
export type Source = { readonly file: string; readonly text: string }

export function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8')
}

/** Reads all files that match, in order of their names. */
export function sources(...patterns: readonly string[]): readonly Source[] {
  const files = globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**'] })
  return files
    .map((file) => file.split(path.sep).join('/'))
    .sort()
    .map((file) => ({ file, text: read(file) }))
}

const COMMENT_OR_STRING = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g

/** Blanks comments and keeps line numbers; strings stay, so that `'http://…'` does not start a comment. */
export function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_STRING, (match) => (/^\/[*/]/.test(match) ? match.replace(/[^\n]/g, ' ') : match))
}

/** Blanks comments and the inside of strings; template strings stay, because they hold code. */
export function codeOnly(text: string): string {
  return text.replace(COMMENT_OR_STRING, (match) => (match.startsWith('`') ? match : match.replace(/[^\n]/g, ' ')))
}

const IMPORTS = [
  /\b(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/g,
  /\bimport\s*\(?\s*['"]([^'"]+)['"]/g,
  /\bnew URL\(\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g,
  /\bimport\.meta\.resolve\(\s*['"]([^'"]+)['"]/g,
]

/** Lists what a file imports, as written: static, re-exported, dynamic, and scripts started by their URL. */
export function importsOf(text: string): readonly string[] {
  const code = withoutComments(text)
  const found = IMPORTS.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1] ?? ''))
  return [...new Set(found)]
}

type Aliases = Readonly<Record<string, Readonly<Record<string, string>>>>

/** The `imports` field of package.json: `#core/hash` and what each condition makes of it. */
export const ALIASES: Aliases = JSON.parse(read('package.json')).imports

/** Gives the project file that an import names, as path from the root, or undefined for a package or a `node:` module. */
export function resolveImport(from: string, specifier: string): string | undefined {
  const aliased = ALIASES[specifier]?.['default']
  if (aliased !== undefined) return path.posix.normalize(aliased)
  return specifier.startsWith('.') ? path.posix.join(path.posix.dirname(from), specifier) : undefined
}
