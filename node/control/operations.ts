/** Every route of the control plane. One that is not listed here is for admins only until somebody decides. */
import type { Role } from '../runtime/access.ts'
import { ADMIN_OPERATIONS } from './openapi-admin.ts'
import { CREDIT_OPERATIONS } from './openapi-credits.ts'
import { DISPUTE_OPERATIONS } from './openapi-disputes.ts'
import { ENGINE_OPERATIONS } from './openapi-engines.ts'
import type { Operation } from './openapi-kit.ts'
import { OPENAI_OPERATIONS } from './openapi-openai.ts'
import { P2P_OPERATIONS } from './openapi-p2p.ts'
import { SWARM_OPERATIONS } from './openapi-swarm.ts'
import { VERIFICATION_OPERATIONS } from './openapi-verification.ts'

export const OPERATIONS: readonly Operation[] = [
  ...OPENAI_OPERATIONS,
  ...P2P_OPERATIONS,
  ...DISPUTE_OPERATIONS,
  ...SWARM_OPERATIONS,
  ...VERIFICATION_OPERATIONS,
  ...CREDIT_OPERATIONS,
  ...ENGINE_OPERATIONS,
  ...ADMIN_OPERATIONS,
]
const ROLE_OF = new Map(OPERATIONS.map(({ method, path, role }) => [`${method} ${path}`, role]))

/** @param path  as the router writes it; undefined for an address that is no route, which nobody has to be kept from */
export function roleOf(method: string, path: string | undefined): Role | 'open' {
  if (path === undefined) return 'read'
  return ROLE_OF.get(`${method} ${path}`) ?? 'admin'
}
