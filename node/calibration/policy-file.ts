/** A table of thresholds as a file: an envelope, signed by whoever calibrated, and of no swarm until a mint key enters it into one. */
import { readFile, writeFile } from 'node:fs/promises'
import { FabricError } from '../../core/errors.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId, SwarmId } from '../../core/ids.ts'
import { parseSwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { isTable, type PolicyTable, policyTableCodec } from '../../core/verification/policy-table.ts'

export type PolicyFile = {
  readonly table: PolicyTable
  /** What a mint key signs for its swarm, and what the policy's id is made of. */
  readonly body: Uint8Array
  /** Who says that these are the figures. */
  readonly signer: PeerId
}

/** @throws FabricError CF_CONFIG_INVALID for a file that cannot be written */
export async function writePolicyFile(path: string, table: PolicyTable, key: KeyPair): Promise<void> {
  await writeFile(path, sealAs(policyTableCodec, table, noSwarm(), key)).catch((error: unknown) => {
    throw invalid(path, 'a file that can be written', error)
  })
}

/** @throws FabricError CF_CONFIG_INVALID for a file that cannot be read or is no signed table */
export async function readPolicyFile(path: string): Promise<PolicyFile> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw invalid(path, 'a file that can be read', error)
  })
  const file = openPolicyFile(bytes)
  if (file === undefined) throw invalid(path, 'a signed table of thresholds')
  return file
}

/** @returns undefined for bytes that are no signed table */
export function openPolicyFile(bytes: Uint8Array): PolicyFile | undefined {
  const opened = openAs(policyTableCodec, bytes, noSwarm())
  if (opened.action !== 'accept' || !isTable(opened.value.value)) return undefined
  const { value, body, signer } = opened.value
  return { table: value, body, signer }
}

function noSwarm(): SwarmId {
  const id = parseSwarmId('0'.repeat(64))
  invariant(id !== undefined, 'zeros are an id')
  return id
}

function invalid(file: string, expected: string, cause?: unknown): FabricError {
  return new FabricError('CF_CONFIG_INVALID', { source: 'file', key: 'policy', file, expected }, cause)
}
