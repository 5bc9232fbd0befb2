/** Reads installed files again: is each still the model that its manifest names? */
import { stat } from 'node:fs/promises'
import { type ErrorCode, FabricError } from '../core/errors.ts'
import { readModelFacts } from './fetch/header.ts'
import { type Manifest, modelPath } from './installed.ts'
import { verifyModelFile } from './model-file.ts'

export type Verdict = { readonly id: string; readonly code?: ErrorCode; readonly reason?: string }

/** Digest, then header: the template and the size must still be what the manifest says. */
export async function verifyInstalled(folder: string, manifest: Manifest): Promise<Verdict> {
  const path = modelPath(folder, manifest.digest)
  return verdictOf(manifest.id, async () => {
    const { size } = await stat(path).catch((error: unknown) => {
      throw new FabricError('CF_MODEL_STORE_FAILED', { reason: 'file_missing' }, error)
    })
    await verifyModelFile(path, manifest.digest)
    const { templateDigest, megaParams } = await readModelFacts(path, size)
    if (templateDigest !== manifest.templateDigest || megaParams !== manifest.megaParams || size !== manifest.bytes)
      throw new FabricError('CF_MODEL_STORE_FAILED', { reason: 'manifest_contradicts' })
  })
}

export async function verdictOf(id: string, check: () => Promise<unknown>): Promise<Verdict> {
  try {
    await check()
    return { id }
  } catch (error) {
    if (!(error instanceof FabricError)) throw error
    const { reason } = error.detail
    return { id, code: error.code, ...(typeof reason === 'string' ? { reason } : {}) }
  }
}
