/** Page sizes and cursors. A cursor is the position before which the next page begins; clients treat it as opaque. */
import { CONTROL_LIMITS } from './bounds.ts'
import { type Fields, optional } from './fields.ts'
import { badRequest } from './problem.ts'

const DECIMAL = /^(0|[1-9][0-9]{0,18})$/

export type PageQuery = { readonly limit: number; readonly before: bigint | undefined }

/** @throws CF_CONTROL_BAD_REQUEST naming `limit` or `cursor` */
export function readPage(query: Fields): PageQuery {
  const limit = optional(query, 'limit', decimal)
  if (limit !== undefined && (limit < 1n || limit > BigInt(CONTROL_LIMITS.pageItemsMax))) {
    throw badRequest('limit', `1 to ${CONTROL_LIMITS.pageItemsMax}`)
  }
  return { limit: Number(limit ?? CONTROL_LIMITS.pageItemsDefault), before: optional(query, 'cursor', decimal) }
}

function decimal(value: unknown, param: string): bigint {
  if (typeof value !== 'string' || !DECIMAL.test(value)) throw badRequest(param, 'a decimal number')
  return BigInt(value)
}
