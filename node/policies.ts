/** Audit thresholds of this node's swarm: what the log has of them, and how its mint key adds to it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FabricError } from '../core/errors.ts'
import { encodeEnvelope, seal } from '../core/identity/envelope.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import type { Digest } from '../core/ids.ts'
import { ZERO_DIGEST } from '../core/ledger/settlement.ts'
import { isMintKey } from '../core/log/authority.ts'
import { policyIdFor } from '../core/log/policies.ts'
import { policyRow } from '../core/log/rows.ts'
import type { LogState } from '../core/log/state.ts'
import {
  fewestHonestAudits,
  HONEST_AUDITS_MIN,
  type PolicyTable,
  policyIdOf,
  policyTableCodec,
} from '../core/verification/policy-table.ts'
import { openPolicyFile, type PolicyFile } from './calibration/policy-file.ts'
import { refusalError } from './jobs/refusals.ts'
import type { Policies, PolicyView } from './runtime/policies.ts'
import type { Ledger, Store } from './runtime/ports.ts'

/** Tables that come with this package, as `calibrate` wrote them. */
export const BUNDLED_FOLDER = fileURLToPath(new URL('../models/data/', import.meta.url))
const EXTENSION = '.policy'

export type PolicyPorts = {
  readonly state: () => LogState
  readonly ledger: Ledger
  readonly store: Pick<Store, 'ledgerRows'>
  readonly mint: KeyPair
  /** @returns undefined for a model that this node does not know */
  readonly nameOf: (model: Digest) => string | undefined
}

export class PolicyDesk implements Policies {
  readonly #ports: PolicyPorts

  constructor(ports: PolicyPorts) {
    this.#ports = ports
  }

  list(): readonly PolicyView[] {
    const views = new Map<Digest, PolicyView>()
    for (const { bytes } of this.#ports.store.ledgerRows('policy')) {
      const decoded = policyTableCodec.decode(policyRow.decode(bytes).body)
      if (decoded.action !== 'accept') continue
      const view = this.#viewOf(decoded.value)
      views.set(view.id, view)
    }
    return [...views.values()].sort((a, b) => (a.model === b.model ? order(a.id, b.id) : order(a.model, b.model)))
  }

  async publish(bytes: Uint8Array): ReturnType<Policies['publish']> {
    const file = openPolicyFile(bytes)
    if (file === undefined)
      throw new FabricError('CF_CONTROL_BAD_REQUEST', { param: 'file', expected: 'what `cfab-node calibrate` wrote' })
    const honestAudits = fewestHonestAudits(file.table)
    if (honestAudits < HONEST_AUDITS_MIN)
      throw new FabricError('CF_CONTROL_BAD_REQUEST', {
        ...{ param: 'file', expected: `at least ${HONEST_AUDITS_MIN} honest audits behind each row`, honestAudits },
      })
    await this.#enter(file)
    return { policy: this.#viewOf(file.table), calibratedBy: file.signer }
  }

  /**
   * Enters the tables of a folder for models that have none yet: what the founder of a swarm does before its first job.
   *
   * @returns how many were entered; none where the mint key is not, or where nothing is audited
   */
  async publishBundled(folder: string = BUNDLED_FOLDER): Promise<number> {
    const { state, mint } = this.#ports
    const { genesis } = state()
    if (genesis.policy.auditPermille === 0 || !isMintKey(state(), mint.peer)) return 0
    let entered = 0
    for (const path of await policyFiles(folder)) {
      const file = openPolicyFile(await readFile(path))
      if (file === undefined) throw new FabricError('CF_CONFIG_INVALID', { key: 'policy', file: path })
      if (policyIdFor(state(), file.table.model) !== ZERO_DIGEST) continue
      await this.#enter(file)
      entered += 1
    }
    return entered
  }

  /** The mint key signs the same bytes for this swarm: the id that they give is the same in each. */
  async #enter({ body }: PolicyFile): Promise<void> {
    const { ledger, state, mint } = this.#ports
    const envelope = encodeEnvelope(seal(policyTableCodec.type, state().swarmId, body, mint))
    const result = await ledger.append('policy', envelope)
    if (result.status === 'refused' && result.reason !== 'policy_repeated') throw refusalError(result)
  }

  #viewOf(table: PolicyTable): PolicyView {
    const { model, engine, rows } = table
    const id = policyIdOf(policyTableCodec.encode(table))
    const inForce = policyIdFor(this.#ports.state(), model) === id
    return { id, model, modelName: this.#ports.nameOf(model) ?? null, engine, inForce, rows }
  }
}

/** Files with tables in a folder, in order of their names; none when there is no such folder. @throws CF_STORE_FAILED */
export async function policyFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new FabricError('CF_STORE_FAILED', { file: folder }, error)
  })
  const tables = names.filter((name) => name.endsWith(EXTENSION)).sort()
  return tables.map((name) => join(folder, name))
}

function order(one: string, other: string): number {
  return one < other ? -1 : 1
}
