/** The drivers of llama.cpp under test, and models for them. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { LoadRequest } from '../../models/backend.ts'
import { fileDigest } from '../../models/model-file.ts'
import { findLibraries } from '../../models/native/probe.ts'
import { loadEngineAddon } from '../../native/engine.ts'
import { TINY_LOAD } from './host.ts'
import { missing } from './missing.ts'
import { tempFolder } from './temp-folder.ts'

/** Real weights of a tiny model in several types; not part of the repository. */
const SHARED_MODELS = join(import.meta.dirname, '..', '..', '..', 'shared', 'models', 'tests')

/** @returns false where the engine is not built, which it says */
export function hasNativeEngine(): boolean {
  const loaded = loadEngineAddon()
  if ('reason' in loaded) console.log(`skipped what needs the native engine: ${loaded.reason}`)
  return !('reason' in loaded)
}

/** @returns undefined where the file is absent, which it says */
export async function sharedLoad(file: string): Promise<LoadRequest | undefined> {
  const path = join(SHARED_MODELS, file)
  if (existsSync(path)) return { ...TINY_LOAD, path, digest: await fileDigest(path), contextTokens: 512 }
  console.log(`skipped what needs ${file}: it is not here`)
  return undefined
}

/** Copies the libraries that fit this machine and changes one byte of one of them. */
export async function changedLibraries(name: RegExp): Promise<string> {
  const found = await findLibraries('off')
  if (found.type === 'failed') return missing(found.reason)
  const folder = tempFolder()
  for (const file of found.files) cpSync(file, join(folder, basename(file)))
  const changed = join(folder, basename(found.files.find((file) => name.test(file)) ?? missing()))
  const bytes = readFileSync(changed)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  writeFileSync(changed, bytes)
  return folder
}
