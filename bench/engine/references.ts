/** Where scripts/references.mjs puts what our engine is measured against. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'

const ROOT = dirname(dirname(import.meta.dirname))

/** Not below `native`: whatever is there takes part in the stamp of the native kernels. */
export const REFERENCES_FOLDER = join(ROOT, '.references')
/** The source of the llama.cpp that node-llama-cpp ships. */
export const SOURCE_FOLDER = join(REFERENCES_FOLDER, 'source')

/** Another build of the tools, such as one for a GPU: see bench/gpu/README.md. */
export const TOOLS_FOLDER = process.env['BENCH_TOOLS'] ?? join(REFERENCES_FOLDER, 'bin')

export function referencePath(name: string): string {
  return join(TOOLS_FOLDER, name)
}

/** @returns the CPU library that the tools choose on this machine, such as `sapphirerapids`, as they say themselves */
export function referenceVariant(): string {
  const { stdout, stderr } = spawnSync(referencePath('llama-bench'), ['--list-devices'], { encoding: 'utf8' })
  return /libggml-cpu-(\w+)\.so/.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}

/** Builds what is missing, in a process of its own. @throws when a compiler or git is missing */
export function buildReferences(): void {
  const script = join(ROOT, 'scripts', 'references.mjs')
  const { status } = spawnSync(process.execPath, [script, '--quietly'], { stdio: 'inherit' })
  if (status !== 0) throw new Error('there is nothing to measure against')
}
