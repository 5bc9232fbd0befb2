/** Reads installed files again: is each still the model that its manifest names? */
import { stat } from 'node:fs/promises'
import { type ErrorCode, FabricError } from '../core/errors.ts'
import { readModelFacts } from './fetch/header.ts'
import { filesOf, type Manifest, modelPath } from './installed.ts'
import { verifyModelFile } from './model-file.ts'

export type Verdict = { readonly id: string; readonly code?: ErrorCode; readonly reason?: string }

/** Digests of all its files, then a GGUF's header: the template and the size must still be what the manifest says. */
export async function verifyInstalled(folder: string, manifest: Manifest): Promise<Verdict> {
  return verdictOf(manifest.id, async () => {
    for (const file of filesOf(folder, manifest)) {
      const size = await sizeOf(file.path)
      await verifyModelFile(file.path, file.digest)
      if (size !== file.bytes) throw contradiction()
    }
    if (manifest.format === 'gguf') await verifyHeader(modelPath(folder, manifest), manifest)
  })
}

async function verifyHeader(path: string, manifest: Manifest): Promise<void> {
  const { templateDigest = manifest.digest, megaParams, dimensions } = await readModelFacts(path, manifest.bytes)
  const isSame = templateDigest === manifest.templateDigest && dimensions === manifest.dimensions
  if (!isSame || megaParams !== manifest.megaParams) throw contradiction()
}

async function sizeOf(path: string): Promise<number> {
  const { size } = await stat(path).catch((error: unknown) => {
    throw new FabricError('CF_MODEL_STORE_FAILED', { reason: 'file_missing' }, error)
  })
  return size
}

function contradiction(): FabricError {
  return new FabricError('CF_MODEL_STORE_FAILED', { reason: 'manifest_contradicts' })
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
