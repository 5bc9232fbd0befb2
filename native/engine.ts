/** Loads the add-on that runs models in llama.cpp, where it is built. */
import { type LoadedFile, loadAddonFile } from './addon-file.ts'
import { NATIVE_FOLDER } from './stamp.ts'

/** @returns what engine/skin.cc exports, or why there is no engine, as a clause */
export function loadEngineAddon(folder = NATIVE_FOLDER): LoadedFile {
  return loadAddonFile('cfab_engine', folder)
}
