/** The binary of the engine's C++ tests, built where there is a compiler. */
import { spawnSync } from 'node:child_process'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '..', '..')
const SCRIPT = path.join(ROOT, 'scripts', 'engine-test.mjs')
const BUILD_LIMIT_MS = 230_000
const CANNOT = 69

export type EngineTests = {
  /** Libraries and a model that suit this machine. */
  readonly env: NodeJS.ProcessEnv
  readonly binary: string
  /** A folder of vocabularies without weights; '' where they cannot be unpacked. */
  readonly vocabularies: string
}

/** @returns the binary, or why there is none; a source that does not compile is an error instead */
export function buildEngineTests(): EngineTests | { readonly reason: string } {
  const args = [SCRIPT, '--build']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: BUILD_LIMIT_MS })
  if (status === CANNOT) return { reason: stderr.trim() }
  if (status !== 0) throw new Error(`${stdout}${stderr}`)
  const built: unknown = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  return parseBuilt(built)
}

function parseBuilt(built: unknown): EngineTests {
  const { binary, vocabularies, libraries, model } = built as Record<
    'binary' | 'vocabularies' | 'libraries' | 'model',
    string
  >
  return { binary, vocabularies, env: { ...process.env, CFAB_TEST_LIBRARIES: libraries, CFAB_TEST_MODEL: model } }
}
