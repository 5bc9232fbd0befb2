/** Entries that move credit without a job of their own: genesis starters, mint, direct transfers. */
import { domainHash } from '#core/hash'
import { toHex } from '../codec/bytes.ts'
import type { Opened } from '../identity/envelope.ts'
import { openAs } from '../identity/envelope.ts'
import {
  type AccountId,
  digestOf,
  MINT_ACCOUNT,
  nodeAccount,
  type PeerId,
  parseAccountId,
  parseJobId,
  parsePeerId,
  userAccount,
} from '../ids.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { isMintKey } from './authority.ts'
import { type DirectBody, genesisEntryCodec, mintCodec, transferCodec } from './bodies.ts'
import { book, type Handler } from './effects.ts'
import { NO_PROOF, recordEpoch } from './epochs.ts'
import { type Refused, refuse, refuseInvalid } from './refusal.ts'
import { genesisStanding } from './standing.ts'
import { type LogState, platformOf } from './state.ts'

const JOB_ID_BYTES = 32
const DIRECT = { op: 'direct', jobId: null, nodeId: null, vestsAtMs: 0n } as const

/** Opens the books: grants the starter credits that the genesis names. */
export const applyGenesis: Handler = (state, entry, hash) => {
  const decoded = genesisEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  if (decoded.value.swarmId !== state.swarmId) return refuse('genesis_mismatch')
  const grants = state.genesis.starters.map(({ user, amount }): TransferDraft => {
    const pair = { debit: MINT_ACCOUNT, credit: userAccount(user), amount }
    return { ...DIRECT, ...pair, kind: 'starter', reason: 'starter credits', idempotencyKey: `starter/${user}` }
  })
  admitGenesis(state, entry.index)
  return book(state, entry, hash, grants, null)
}

/** Everybody that the genesis names is in from the start, and epoch 0 begins. */
function admitGenesis(state: LogState, startedIndex: bigint): void {
  const { genesis, epoch, beacon, rosterRoot } = state
  for (const peer of [...genesis.members.map((member) => member.peer), ...genesis.validators]) {
    const standing = genesisStanding(state, peer)
    if (standing !== undefined) state.peers.set(peer, standing)
  }
  recordEpoch(state, { epoch, beacon, rosterRoot, startedMs: genesis.createdMs, startedIndex, proof: NO_PROOF })
}

export const applyMint: Handler = (state, entry, hash) => {
  const opened = openAs(mintCodec, entry.body, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value, signer } = opened.value
  if (!isMintKey(state, signer)) return refuse('authority_missing')
  const used = useKey(state, opened.value, mintCodec.type, hash)
  if (used !== undefined) return used
  const credit = knownAccount(state, value.to)
  if (credit === undefined || credit === MINT_ACCOUNT) return refuse('account_unknown')
  const { amount, reason, idempotencyKey } = value
  const draft = { ...DIRECT, kind: 'mint', debit: MINT_ACCOUNT, credit, amount, reason, idempotencyKey } as const
  return book(state, entry, hash, [{ ...draft, nodeId: nodeOf(credit) }], null)
}

export const applyTransfer: Handler = (state, entry, hash) => {
  const opened = openAs(transferCodec, entry.body, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value, signer } = opened.value
  const jobId = value.jobId.length === 0 ? null : parseJobId(toHex(value.jobId))
  if (jobId === undefined || (value.jobId.length !== 0 && value.jobId.length !== JOB_ID_BYTES))
    return refuse('body_malformed')
  const [debit, credit] = [knownAccount(state, value.from), knownAccount(state, value.to)]
  if (debit === undefined || credit === undefined || debit === credit) return refuse('account_unknown')
  if (!maySign(state, signer, value.kind, debit, credit)) return refuse('authority_missing')
  const used = useKey(state, opened.value, transferCodec.type, hash)
  if (used !== undefined) return used
  const { kind, amount, reason, idempotencyKey } = value
  const nodeId = nodeOf(credit) ?? nodeOf(debit)
  return book(
    state,
    entry,
    hash,
    [{ ...DIRECT, kind, debit, credit, amount, reason, jobId, nodeId, idempotencyKey }],
    jobId,
  )
}

/**
 * Whether a key may make a direct transfer.
 *
 * Why a mint key moves only the platform's and the mint's money: it may create credit for anyone and take it from nobody.
 */
function maySign(
  state: LogState,
  signer: PeerId,
  kind: DirectBody['kind'],
  debit: AccountId,
  credit: AccountId,
): boolean {
  const platform = platformOf(state)
  switch (kind) {
    case 'spend':
      return debit === userAccount(signer) && credit === platform
    case 'reward':
      return isMintKey(state, signer) && (debit === platform || debit === MINT_ACCOUNT) && nodeOf(credit) !== null
    case 'transfer':
      if (debit === MINT_ACCOUNT || credit === MINT_ACCOUNT) return false
      return debit === platform
        ? isMintKey(state, signer)
        : debit === userAccount(signer) || debit === nodeAccount(signer)
  }
}

/**
 * Takes an idempotency key, for ever.
 *
 * Why per signer: with one space for all, anyone could use up a key that another is about to use.
 *
 * @returns  undefined when the key was free; else a repeat (same content) or a conflict, each naming the first entry
 */
function useKey(
  state: LogState,
  opened: Opened<{ readonly idempotencyKey: string }>,
  type: string,
  entryHash: Parameters<Handler>[2],
): Refused | undefined {
  const { value, signer, body } = opened
  if (value.idempotencyKey === '') return refuse('body_malformed')
  const key = `${signer}/${value.idempotencyKey}`
  const content = digestOf(domainHash('content', domainHash(type, body)))
  const earlier = state.idempotency.get(key)
  if (earlier === undefined) {
    state.idempotency.set(key, { content, entryHash })
    return undefined
  }
  return refuse(earlier.content === content ? 'idempotency_repeat' : 'idempotency_conflict', {
    entryHash: earlier.entryHash,
  })
}

/** @returns undefined for a malformed account and for another region's platform */
function knownAccount(state: LogState, text: string): AccountId | undefined {
  const account = parseAccountId(text)
  return account?.startsWith('platform/') && account !== platformOf(state) ? undefined : account
}

function nodeOf(account: AccountId): PeerId | null {
  return account.startsWith('node/') ? (parsePeerId(account.slice('node/'.length)) ?? null) : null
}
