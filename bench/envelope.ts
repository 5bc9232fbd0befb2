/** Opening a signed intent (structure, key, signature, body) against nothing but node:crypto's verification of the same bytes. */
import { decodeWire } from '../core/codec/canonical.ts'
import { openAs, sealAs } from '../core/identity/envelope.ts'
import { keyPairFromSeed } from '../core/identity/keys.ts'
import { forgetSignatures } from '../core/identity/signatures.ts'
import { type Digest, digestOf, parseSwarmId, userAccount } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { transferCodec } from '../core/log/bodies.ts'
import type { Result } from './report.ts'
import { medianOf, timeInTurn } from './rounds.ts'
import { verificationsOf, verifyBarely } from './signatures.ts'

const COUNT = 500
const BARE = 'node:crypto verify alone'
const FIRST = 'open, first time'
const AGAIN = 'open, seen before'
const DECODE = 'decode alone'

export async function envelopeBench(runs: number): Promise<Result> {
  const swarmId = swarmOf(digestOf(new Uint8Array(32).fill(7)))
  const [from, to] = [keyPairFromSeed(new Uint8Array(32).fill(1)), keyPairFromSeed(new Uint8Array(32).fill(2))]
  const envelopes = Array.from({ length: COUNT }, (_, serial) => {
    const parties = { from: userAccount(from.peer), to: userAccount(to.peer), amount: BigInt(serial + 1) }
    const rest = { reason: 'bench', jobId: new Uint8Array(), idempotencyKey: `${serial}` }
    return sealAs(transferCodec, { kind: 'transfer', ...parties, ...rest }, swarmId, from)
  })
  const openAll = (): void => {
    for (const bytes of envelopes)
      if (openAs(transferCodec, bytes, swarmId).action !== 'accept') throw new Error('an envelope does not open')
  }
  const openFresh = (): void => {
    forgetSignatures()
    openAll()
  }
  const verifications = verificationsOf(openFresh)
  if (verifications.length !== COUNT) throw new Error('one signature an envelope')
  const decodeAll = (): void => {
    for (const bytes of envelopes) decodeWire(bytes, LIMITS.envelopeBytesMax)
  }
  const ways = [
    { name: BARE, run: () => verifyBarely(verifications) },
    { name: FIRST, run: openFresh },
    { name: AGAIN, run: openAll },
    { name: DECODE, run: decodeAll },
  ]
  const figures = timeInTurn(ways, runs, COUNT)
  return {
    bench: 'envelope',
    figures,
    ratios: [
      { name: 'bare verify / open, first time', value: medianOf(figures, BARE) / medianOf(figures, FIRST) },
      { name: 'bare verify / open, seen before', value: medianOf(figures, BARE) / medianOf(figures, AGAIN) },
    ],
  }
}

function swarmOf(digest: Digest) {
  const swarmId = parseSwarmId(digest)
  if (swarmId === undefined) throw new Error('a digest names a swarm')
  return swarmId
}
