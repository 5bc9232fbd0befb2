/** Valid bytes to start from: whole jobs are run and taken apart, and what no job holds is found by asking the codec. */
import { toHex } from '../../core/codec/bytes.ts'
import { decodeWire, encodeWire, type Wire } from '../../core/codec/canonical.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { SwarmId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { parseGenesis } from '../../core/log/genesis.ts'
import { castVote, encodeVote, VOTE_KINDS } from '../../core/quorum/vote.ts'
import { exportEvidence } from '../../node/jobs/evidence-export.ts'
import { digestNamed, swarmNamed, validatorKeys, validatorsOf } from '../support/people.ts'
import { ENDS, type SettledRun, settledRun } from '../support/settled-job.ts'
import type { AnyCodec } from './codecs.ts'

export type Corpus = {
  /** Valid bodies of each codec that has any. */
  readonly bodies: ReadonlyMap<AnyCodec, readonly Uint8Array[]>
  /** Envelopes that open. */
  readonly envelopes: readonly { readonly codec: AnyCodec; readonly bytes: Uint8Array; readonly swarmId: SwarmId }[]
  readonly receipts: readonly Uint8Array[]
  readonly votes: readonly Uint8Array[]
  readonly genesis: readonly Uint8Array[]
}

/** Who may vote, and in which swarm. */
export const VOTE_SWARM = swarmNamed('fuzzed')
export const VOTERS = validatorsOf(validatorKeys(4))

const WIRE_BYTES_MAX = 1_048_576
const PER_CODEC_MAX = 40

export function makeCorpus(codecs: readonly AnyCodec[]): Corpus {
  const runs = ENDS.map((end) => settledRun(end))
  const found = new Map<string, Uint8Array>()
  for (const run of runs) harvest(run, found, new Set())
  for (const run of runs) harvest(evidenceOf(run), found, new Set())
  const all = [...found.values()]
  const swarms = [...new Set(runs.map(({ root }) => root))]
  return {
    bodies: new Map(codecs.map((codec) => [codec, bodiesOf(codec, all)])),
    envelopes: all.flatMap((bytes) => envelopesOf(bytes, codecs, swarms)),
    receipts: runs.map(({ file }) => file),
    votes: castVotes(),
    genesis: all.filter((bytes) => parseGenesis(bytes).action === 'accept').slice(0, PER_CODEC_MAX),
  }
}

function evidenceOf({ run, job, file }: SettledRun): Uint8Array | undefined {
  const store = { receipt: () => file, payload: () => undefined }
  return job.findings.length === 0 ? undefined : exportEvidence(job, { state: run.swarm.state, store }, 0, false)
}

/** Collects every byte string that a value holds, also those inside of byte strings. */
function harvest(value: unknown, found: Map<string, Uint8Array>, seen: Set<unknown>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  seen.add(value)
  if (!(value instanceof Uint8Array)) {
    const parts = value instanceof Map ? value.values() : Object.values(value)
    for (const part of parts) harvest(part, found, seen)
    return
  }
  const name = toHex(value)
  if (value.length === 0 || found.has(name)) return
  found.set(name, value)
  const inner = decodeWire(value, WIRE_BYTES_MAX)
  if (inner.action === 'accept') harvest(inner.value, found, seen)
}

function bodiesOf(codec: AnyCodec, all: readonly Uint8Array[]): readonly Uint8Array[] {
  const harvested = all.filter((bytes) => codec.decode(bytes).action === 'accept').slice(0, PER_CODEC_MAX)
  const solved = harvested.length > 0 ? undefined : solve(codec)
  return solved === undefined ? harvested : [solved]
}

function castVotes(): readonly Uint8Array[] {
  const { epoch, hash: setHash } = VOTERS
  return VOTE_KINDS.flatMap((kind, index) =>
    validatorKeys(4).map((key) => {
      const [subject, digest] = [digestNamed(`job ${index}`), digestNamed(`said ${index}`)]
      return encodeVote(castVote(VOTE_SWARM, { kind, epoch, setHash, subject, attempt: 1, index, digest }, key))
    }),
  )
}

function envelopesOf(
  bytes: Uint8Array,
  codecs: readonly AnyCodec[],
  swarms: readonly SwarmId[],
): Corpus['envelopes'][number][] {
  const wire = decodeWire(bytes, LIMITS.envelopeBytesMax)
  const type = wire.action === 'accept' && Array.isArray(wire.value) ? wire.value[1] : undefined
  const codec = codecs.find((candidate) => candidate.type === type)
  if (codec === undefined) return []
  const swarmId = swarms.find((id) => openAs(codec, bytes, id).action === 'accept')
  return swarmId === undefined ? [] : [{ codec, bytes, swarmId }]
}

const FIELDS_MAX = 40
const CANDIDATES: readonly Wire[] = [
  ...[0, 0n, false, '', [], ...[0, 4, 16, 32, 64].map((byteCount) => new Uint8Array(byteCount))],
  ...[1, 2, 3, 4].flatMap((count) => [0, 0n, new Uint8Array(32)].map((item): Wire => Array(count).fill(item))),
  // Last: a body that becomes too long has another fault too.
  new Uint8Array(2_048),
]

/** No field has this form. */
const NEVER: Wire = [[[[[[0]]]]]]

/** Finds a body that a codec accepts by what it says is wrong: it names the first field from the left that does not fit. */
function solve(codec: AnyCodec): Uint8Array | undefined {
  for (let count = 1; count <= FIELDS_MAX; count += 1) {
    const parts: Wire[] = Array(count).fill(NEVER)
    let fault = faultOf(codec, parts)
    if (fault === codec.type) continue
    for (let place = 0; place < count; place += 1) {
      const wrong = fault
      parts[place] = CANDIDATES.find((candidate) => faultOf(codec, parts.with(place, candidate)) !== wrong) ?? NEVER
      fault = faultOf(codec, parts)
      if (fault === undefined) return encodeWire([1, ...parts])
      if (fault === wrong) return undefined
    }
  }
  return undefined
}

function faultOf(codec: AnyCodec, parts: readonly Wire[]): string | undefined {
  const decoded = codec.decode(encodeWire([1, ...parts]))
  if (decoded.action === 'accept') return undefined
  return decoded.action === 'reject' ? (decoded.where ?? decoded.reason) : decoded.reason
}
