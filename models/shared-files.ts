/** The model files that this node may hand to others: the bundled ones and those that were pulled, by digest. */
import { stat } from 'node:fs/promises'
import { CATALOGUE } from './catalogue.ts'
import { filesOf, installedModels } from './installed.ts'

export type SharedFile = { readonly path: string; readonly bytes: number }

/** @param folder  of pulled models; absent: only bundled ones */
export async function sharedFiles(folder?: string): Promise<ReadonlyMap<string, SharedFile>> {
  const shared = new Map<string, SharedFile>()
  for (const { digest, path, tokenizer } of CATALOGUE) {
    await add(shared, digest, path)
    if (tokenizer !== undefined) await add(shared, tokenizer.digest, tokenizer.path)
  }
  if (folder === undefined) return shared
  const { manifests } = await installedModels(folder)
  for (const manifest of manifests)
    for (const { digest, path, bytes } of filesOf(folder, manifest)) await add(shared, digest, path, bytes)
  return shared
}

/** A file that is not there, or of another size than it was installed with, is nobody's. */
async function add(shared: Map<string, SharedFile>, digest: string, path: string, bytes?: number): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true || (bytes !== undefined && found.size !== bytes)) return
  shared.set(digest, { path, bytes: found.size })
}
