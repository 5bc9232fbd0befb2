/**
 * The keys of a region log in etcd and the JSON of its gateway (etcd v3.4, `/v3/kv/*`: bytes are base64, 64-bit numbers are text,
 * fields that are zero are left out).
 *
 * | key under `cfab/<swarm>/` | value |
 * |---|---|
 * | `head` | `u64be index \|\| 32 bytes hash`; its mod revision is what proposals compare |
 * | `e/<index, 16 hex>` | the entry's bytes |
 * | `p/<idempotency key, 64 hex>` | `u64be first \|\| u64be last` of what the proposal wrote |
 * | `snapshot` | `u64be upTo \|\| digest` of the newest snapshot |
 * | `first` | `u64be` of the first entry that is kept; absent: 0 |
 */
import { concatBytes, toHex, u64be } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import type { LogHead } from '../runtime/ports.ts'

export type KeyValue = { readonly key: string; readonly value: Uint8Array; readonly modRevision: string }
/** `ranges`: what each operation of the branch taken read, in order; writes read nothing. */
export type TxnAnswer = {
  readonly succeeded: boolean
  readonly revision: string
  readonly ranges: readonly (readonly KeyValue[])[]
}
export type Compare = Readonly<Record<string, string>>
export type Operation = Readonly<Record<string, Readonly<Record<string, string | number>>>>

const HEAD_BYTES = 40
const EMPTY_HASH = new Uint8Array(32)
export const EMPTY_HEAD: LogHead = { index: -1n, hash: EMPTY_HASH }

export class EtcdKeys {
  readonly #prefix: string

  constructor(swarmId: string) {
    this.#prefix = `cfab/${swarmId}/`
  }

  get head(): string {
    return this.#of('head')
  }

  get snapshot(): string {
    return this.#of('snapshot')
  }

  get first(): string {
    return this.#of('first')
  }

  entry(index: bigint): string {
    return this.#of(`e/${index.toString(16).padStart(16, '0')}`)
  }

  proposal(idempotencyKey: Uint8Array): string {
    return this.#of(`p/${toHex(idempotencyKey)}`)
  }

  /** The first key of the proposals and the key after the last; '0' follows '/'. */
  get proposals(): readonly [string, string] {
    return [this.#of('p/'), this.#of('p0')]
  }

  #of(name: string): string {
    return Buffer.from(this.#prefix + name, 'latin1').toString('base64')
  }
}

export const base64Of = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')

export const put = (key: string, value: Uint8Array): Operation => ({ request_put: { key, value: base64Of(value) } })
export const get = (key: string): Operation => ({ request_range: { key } })
export const range = (key: string, rangeEnd: string, limit: number): Operation => ({
  request_range: { key, range_end: rangeEnd, limit },
})
export const drop = (key: string, rangeEnd?: string): Operation => ({
  request_delete_range: rangeEnd === undefined ? { key } : { key, range_end: rangeEnd },
})
/** True while the key was last written at this revision; '0': while it does not exist. */
export const unchanged = (key: string, modRevision: string): Compare => ({
  key,
  target: 'MOD',
  result: 'EQUAL',
  mod_revision: modRevision,
})

export function headBytes(head: LogHead): Uint8Array {
  return concatBytes(u64be(head.index), head.hash)
}

/** @throws CF_STORE_FORKED when somebody else wrote the key */
export function parseHead(value: Uint8Array): LogHead {
  if (value.length !== HEAD_BYTES) throw new FabricError('CF_STORE_FORKED', { reason: 'etcd_head' })
  return { index: parseU64(value, 0), hash: value.slice(8) }
}

export function spanBytes(first: bigint, last: bigint): Uint8Array {
  return concatBytes(u64be(first), u64be(last))
}

/** @throws CF_STORE_FORKED when the value is too short for a number there */
export function parseU64(value: Uint8Array, at: number): bigint {
  if (value.length < at + 8) throw new FabricError('CF_STORE_FORKED', { reason: 'etcd_value' })
  return new DataView(value.buffer, value.byteOffset).getBigUint64(at)
}

type Fields = Readonly<Record<string, unknown>>

/** @throws CF_STORE_FAILED when it is not what etcd answers */
export function parseTxn(value: unknown): TxnAnswer {
  const answer = parseFields(value)
  const header = parseFields(answer['header'])
  const responses = parseList(answer['responses']).map(parseFields)
  return {
    succeeded: answer['succeeded'] === true,
    revision: parseText(header['revision']),
    ranges: responses.map((response) => parseList(parseFields(response['response_range'] ?? {})['kvs']).map(parsePair)),
  }
}

function parsePair(value: unknown): KeyValue {
  const pair = parseFields(value)
  return {
    key: parseText(pair['key']),
    value: new Uint8Array(Buffer.from(parseText(pair['value'] ?? ''), 'base64')),
    modRevision: parseText(pair['mod_revision']),
  }
}

function parseFields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable()
  return value as Fields
}

function parseList(value: unknown): readonly unknown[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw unreadable()
  return value
}

function parseText(value: unknown): string {
  if (typeof value !== 'string') throw unreadable()
  return value
}

function unreadable(): FabricError {
  return new FabricError('CF_STORE_FAILED', { reason: 'etcd_answer_unreadable' })
}
