/** Verifying receipts of a real job offline, and one of its certificates, against the bare Ed25519 verifications that they contain. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keyPairFromSeed } from '../core/identity/keys.ts'
import { forgetSignatures } from '../core/identity/signatures.ts'
import { digestOf, parseSwarmId } from '../core/ids.ts'
import { certify, checkCertificate, compactOf } from '../core/quorum/certificate.ts'
import { validatorSet } from '../core/quorum/validators.ts'
import { castVote } from '../core/quorum/vote.ts'
import { verifyReceiptFile } from '../core/receipt/verify.ts'
import { startBenchDaemon } from './daemon.ts'
import type { Figure, Result } from './report.ts'
import { medianOf, timeInTurn } from './rounds.ts'
import { verificationsOf, verifyBarely } from './signatures.ts'

const REPLICAS = 3
const RECEIPTS_PER_ROUND = 20
const CERTIFICATES_PER_ROUND = 100

export async function receiptsBench(runs: number): Promise<Result> {
  const receipt = await receiptOfAJob()
  const roots: ReadonlySet<string> = new Set()
  const figures = [
    ...measure('receipt', runs, RECEIPTS_PER_ROUND, () => {
      if (verifyReceiptFile(receipt, { roots }).status === 'invalid') throw new Error('the receipt is not valid')
    }),
    ...measure('certificate', runs, CERTIFICATES_PER_ROUND, certificateCheck()),
  ]
  return { bench: 'receipts', figures, ratios: ['receipt', 'certificate'].flatMap((name) => ratiosOf(figures, name)) }
}

function measure(what: string, runs: number, perRound: number, check: () => void): readonly Figure[] {
  const repeat = (work: () => void) => (): void => {
    for (let count = 0; count < perRound; count += 1) work()
  }
  const fresh = (): void => {
    forgetSignatures()
    check()
  }
  const verifications = verificationsOf(fresh)
  const ways = [
    { name: `${what}, its ${verifications.length} bare verifies`, run: repeat(() => verifyBarely(verifications)) },
    { name: `${what}, first time`, run: repeat(fresh) },
    { name: `${what}, seen before`, run: repeat(check) },
  ]
  return timeInTurn(ways, runs, perRound)
}

function ratiosOf(figures: readonly Figure[], what: string): Result['ratios'] {
  const bare = figures.find(({ name }) => name.startsWith(`${what}, its`))?.name ?? ''
  return ['first time', 'seen before'].flatMap((when) => [
    {
      name: `${what}: bare verifies / ${when}`,
      value: medianOf(figures, bare) / medianOf(figures, `${what}, ${when}`),
    },
    { name: `${what}s a second, ${when}`, value: 1_000_000 / medianOf(figures, `${what}, ${when}`) },
  ])
}

function certificateCheck(): () => void {
  const swarmId = parseSwarmId(digestOf(new Uint8Array(32).fill(7)))
  if (swarmId === undefined) throw new Error('a digest names a swarm')
  const keys = [1, 2, 3, 4].map((byte) => keyPairFromSeed(new Uint8Array(32).fill(byte)))
  const set = validatorSet(
    1n,
    keys.map(({ peer }) => peer),
  )
  const digest = digestOf(new Uint8Array(32).fill(9))
  const topic = { kind: 'finding', epoch: 1n, setHash: set.hash, subject: digest, attempt: 0, index: 0 } as const
  const statement = { ...topic, digest }
  const compact = compactOf(
    certify(
      set,
      keys.map((key) => castVote(swarmId, statement, key)),
    ),
  )
  return () => {
    if (checkCertificate(swarmId, set, statement, compact).action !== 'accept') throw new Error('no certificate')
  }
}

/** The file of a job with three replicas, as a daemon gives it out. */
async function receiptOfAJob(): Promise<Uint8Array> {
  const home = await mkdtemp(join(tmpdir(), 'cfab-bench-'))
  const daemon = await startBenchDaemon(home, 1)
  try {
    const messages = [{ role: 'user', content: 'Tell me a short story about a fox.' }]
    const response = await fetch(`${daemon.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'cfab-tiny', messages, max_tokens: 64, cfab: { replicas: REPLICAS } }),
    })
    const answer = await response.text()
    const id = response.headers.get('x-cfab-job')
    const receipt = await fetch(`${daemon.address}/api/v1/p2p/receipts/${id}`)
    if (!receipt.ok) throw new Error(`no receipt: ${answer}`)
    return new Uint8Array(await receipt.arrayBuffer())
  } finally {
    await daemon.stop()
    await rm(home, { recursive: true, force: true })
  }
}
