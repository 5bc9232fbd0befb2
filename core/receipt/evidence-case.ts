/** One replica's case, opened: what the checks of an evidence file look at, and how each of them speaks. */
import { idsFromBytes } from '../codec/bytes.ts'
import { openAs } from '../identity/envelope.ts'
import { digestOf } from '../ids.ts'
import { parseGenesis } from '../log/genesis.ts'
import { createState, type LogState } from '../log/state.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { type Commitment, commitmentCodec, type Reveal, revealCodec } from '../verification/commitment.ts'
import type { Finding } from '../verification/finding.ts'
import type { EvidenceFile } from './evidence-file.ts'
import { type Receipt, receiptCodec, receiptFileCodec } from './receipt.ts'
import { type ReceiptFacts, type ReceiptTrust, verifyReceiptFile } from './verify.ts'

/** `not_checked` is no verdict: `detail` says what is missing. */
export type EvidenceCheck = {
  readonly name: string
  readonly status: 'ok' | 'failed' | 'not_checked'
  readonly detail: string
}

/** A replica's case with all that belongs to it, opened. */
export type Case = {
  readonly file: EvidenceFile
  readonly facts: ReceiptFacts
  readonly receipt: Receipt
  readonly state: LogState
  readonly finding: Finding
  readonly commitment: Commitment | undefined
  /** Bodies of all commitments by replica, undefined for none. */
  readonly commitmentBodies: readonly (Uint8Array | undefined)[]
  readonly reveal: Reveal | undefined
  readonly ids: Uint32Array | undefined
}

export function passed(name: string, detail: string): EvidenceCheck {
  return { name, status: 'ok', detail }
}
export function failed(name: string, detail: string): EvidenceCheck {
  return { name, status: 'failed', detail }
}
export function unchecked(name: string, detail: string): EvidenceCheck {
  return { name, status: 'not_checked', detail }
}

export const NO_DIGEST = digestOf(new Uint8Array(32))

/**
 * Opens the case of a file that is about a replica.
 *
 * @returns  where it fails: `receipt` when the receipt does not verify, `finding` when it has none of that replica
 */
export function openCase(file: EvidenceFile, trust: ReceiptTrust): Validation<Case> {
  const verdict = verifyReceiptFile(file.receipt, trust)
  if (verdict.status === 'invalid') return reject('body_malformed', `receipt: ${verdict.where}`)
  const { facts } = verdict
  const opened = openAs(receiptFileCodec, file.receipt, facts.swarmId)
  const decoded = opened.action === 'accept' ? receiptCodec.decode(opened.value.value.receipt) : opened
  if (decoded.action !== 'accept') return reject('body_malformed', 'receipt')
  const receipt = decoded.value
  const genesis = parseGenesis(receipt.genesis)
  if (genesis.action !== 'accept') return reject('body_malformed', 'receipt: genesis')
  const finding = facts.findings[file.replica]
  if (finding === undefined) return reject('body_malformed', 'finding')
  const reveal = revealCodec.decode(file.reveal)
  const commitmentBodies = receipt.execution.commitments.map((envelope) => {
    const commitment = openAs(commitmentCodec, envelope, facts.swarmId)
    return commitment.action === 'accept' ? commitment.value.body : undefined
  })
  return accept({
    ...{ file, facts, receipt, state: createState(genesis.value), finding, commitmentBodies },
    commitment: facts.commitments[file.replica],
    ...(reveal.action === 'accept'
      ? { reveal: reveal.value, ids: idsFromBytes(reveal.value.ids) }
      : { reveal: undefined, ids: undefined }),
  })
}
