/** Loads a built add-on where it is one of the present sources. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Addon, builtPaths, NATIVE_FOLDER, stampOf } from './stamp.ts'

/** What an add-on exports, or why there is none, as a clause. */
export type LoadedFile = { readonly addon: object } | { readonly reason: string }

/** Never throws. */
export function loadAddonFile(addon: Addon, folder = NATIVE_FOLDER): LoadedFile {
  const { binary, stamp } = builtPaths(addon, folder)
  try {
    if (readFileSync(stamp, 'utf8') !== stampOf(addon, readFileSync(binary), folder))
      return { reason: 'the build is of other sources' }
  } catch {
    return { reason: 'not built here' }
  }
  try {
    const loaded: unknown = createRequire(import.meta.url)(binary)
    return typeof loaded === 'object' && loaded !== null ? { addon: loaded } : { reason: 'the build is not ours' }
  } catch {
    return { reason: 'the build cannot be loaded' }
  }
}
