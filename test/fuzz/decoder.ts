/**
 * Throws random and almost valid bytes at everything that reads bytes of strangers. Whatever comes in: it is accepted or refused with
 * a reason, nothing is thrown, and what is accepted encodes to the same bytes again.
 */
import { equalBytes, toHex } from '../../core/codec/bytes.ts'
import { decodeWire } from '../../core/codec/canonical.ts'
import { encodeEnvelope, openAs, seal } from '../../core/identity/envelope.ts'
import type { JobId } from '../../core/ids.ts'
import { openMessage, sealMessage } from '../../core/job/sealed-message.ts'
import { LIMITS } from '../../core/limits.ts'
import { parseGenesis } from '../../core/log/genesis.ts'
import { checkVote, decodeVote, encodeVote } from '../../core/quorum/vote.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import type { Validation } from '../../core/validation.ts'
import { digestNamed, keyNamed } from '../support/people.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { type AnyCodec, allCodecs } from './codecs.ts'
import { type Corpus, makeCorpus, VOTE_SWARM, VOTERS } from './corpus.ts'
import { mutateBytes, mutateWire, pick, randomBytes } from './mutate.ts'

export type DecoderReport = {
  readonly seed: number
  readonly inputs: number
  /** By what read the bytes and what became of them. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly accepted: number
  /** Got past the guard to a schema, or were accepted. */
  readonly reachedSchema: number
  /** Codecs without a valid body to start from. */
  readonly seedless: readonly string[]
  readonly faults: readonly Fault[]
  readonly ms: number
}
/** Something that must not happen, with what brings it back. */
export type Fault = { readonly reader: string; readonly what: string; readonly hex: string }

type Reader = { readonly name: string; readonly weight: number; read(random: SeededRandom): Read }
type Read = { readonly bytes: Uint8Array; readonly answer: () => string }

const FAULTS_MAX = 20
const HEX_CHARS_MAX = 4_000
/** Reasons that only a schema gives. */
const OF_SCHEMA = new Set(['body_malformed', 'version_unknown'])
const KEY = keyNamed('fuzz')
const SEALED_ABOUT = { swarmId: VOTE_SWARM, kind: 'job/execute', from: keyNamed('edge').peer }
const SEALED = [0, 1, 100].map((length) => {
  const about = { ...SEALED_ABOUT, jobId: digestNamed('job') as JobId, to: KEY.peer }
  return sealMessage(about, new Uint8Array(length), new Uint8Array(32).fill(length)).message
})

export async function fuzzDecoder(inputs: number, seed: number): Promise<DecoderReport> {
  const codecs = await allCodecs()
  const corpus = makeCorpus(codecs)
  const readers = readersOf(codecs, corpus)
  const weights = readers.reduce((sum, { weight }) => sum + weight, 0)
  const random = seededRandom(seed)
  const outcomes = new Map(readers.map(({ name }) => [name, new Map<string, number>()]))
  const faults: Fault[] = []
  const startedMs = performance.now()
  for (let input = 0; input < inputs; input += 1) {
    const reader = heaviest(readers, random.below(weights))
    const { bytes, answer } = reader.read(random)
    const outcome = outcomeOf(answer)
    if (outcome.startsWith('fault: ') && faults.length < FAULTS_MAX)
      faults.push({ reader: reader.name, what: outcome, hex: toHex(bytes).slice(0, HEX_CHARS_MAX) })
    const counts = outcomes.get(reader.name)
    counts?.set(outcome, (counts.get(outcome) ?? 0) + 1)
  }
  const all = [...outcomes.values()].flatMap((counts) => [...counts])
  const sum = (wanted: (outcome: string) => boolean) =>
    all.reduce((total, [outcome, count]) => total + (wanted(outcome) ? count : 0), 0)
  return {
    seed,
    inputs,
    outcomes: Object.fromEntries([...outcomes].map(([name, counts]) => [name, Object.fromEntries([...counts].sort())])),
    accepted: sum((outcome) => outcome === 'accept'),
    reachedSchema: sum((outcome) => outcome === 'accept' || OF_SCHEMA.has(outcome)),
    seedless: codecs.filter((codec) => corpus.bodies.get(codec)?.length === 0).map(({ type }) => type),
    faults,
    ms: Math.round(performance.now() - startedMs),
  }
}

function outcomeOf(answer: () => string): string {
  try {
    return answer()
  } catch (error) {
    return `fault: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
  }
}

function heaviest(readers: readonly Reader[], below: number): Reader {
  let left = below
  const found = readers.find(({ weight }) => {
    left -= weight
    return left < 0
  })
  if (found === undefined) throw new Error('the weights cover the range')
  return found
}

function said(validation: Validation<unknown>): string {
  return validation.action === 'accept' ? 'accept' : validation.reason
}

/** Random bytes now and then, else a valid message with something changed, in its bytes or in its values. */
function almost(seeds: readonly Uint8Array[], random: SeededRandom): Uint8Array {
  if (seeds.length === 0 || random.below(20) === 0) return randomBytes(random)
  const bytes = pick(seeds, random)
  if (random.below(50) === 0) return bytes
  const changed = random.below(2) === 0 ? mutateWire(bytes, random) : undefined
  return changed ?? mutateBytes(bytes, pick(seeds, random), random)
}

function readersOf(codecs: readonly AnyCodec[], corpus: Corpus): readonly Reader[] {
  const everyBody = [...corpus.bodies.values()].flat()
  return [
    { name: 'wire', weight: 200, read: (random) => readWire(almost(everyBody, random)) },
    ...codecs.map((codec): Reader => {
      const seeds = corpus.bodies.get(codec) ?? []
      return { name: `body ${codec.type}`, weight: 16, read: (random) => readBody(codec, almost(seeds, random)) }
    }),
    { name: 'envelope', weight: 60, read: (random) => readEnvelope(corpus, random) },
    { name: 'vote', weight: 30, read: (random) => readVote(almost(corpus.votes, random)) },
    { name: 'genesis', weight: 30, read: (random) => readGenesis(almost(corpus.genesis, random)) },
    { name: 'sealed message', weight: 6, read: (random) => readSealed(almost(SEALED, random)) },
    { name: 'receipt file', weight: 6, read: (random) => readReceipt(almost(corpus.receipts, random)) },
  ]
}

function readWire(bytes: Uint8Array): Read {
  return { bytes, answer: () => said(decodeWire(bytes, LIMITS.envelopeBytesMax)) }
}

function readBody(codec: AnyCodec, bytes: Uint8Array): Read {
  return {
    bytes,
    answer() {
      const decoded = codec.decode(bytes)
      if (decoded.action !== 'accept') return decoded.reason
      return equalBytes(codec.encode(decoded.value), bytes) ? 'accept' : 'fault: two encodings of one body'
    },
  }
}

/** Half of them changed as a whole; half of them sealed again, so that a changed body has a signature that holds. */
function readEnvelope({ envelopes }: Corpus, random: SeededRandom): Read {
  const { codec, bytes, swarmId } = pick(envelopes, random)
  const opened = openAs(codec, bytes, swarmId)
  const sealed =
    random.below(2) === 0 || opened.action !== 'accept'
      ? almost([bytes], random)
      : encodeEnvelope(seal(codec.type, swarmId, almost([opened.value.body], random), KEY))
  return { bytes: sealed, answer: () => said(openAs(codec, sealed, swarmId)) }
}

function readSealed(bytes: Uint8Array): Read {
  return { bytes, answer: () => said(openMessage(KEY, SEALED_ABOUT, bytes)) }
}

function readVote(bytes: Uint8Array): Read {
  return {
    bytes,
    answer() {
      const vote = decodeVote(bytes)
      if (vote.action !== 'accept') return said(vote)
      if (!equalBytes(encodeVote(vote.value), bytes)) return 'fault: two encodings of one vote'
      return said(checkVote(VOTE_SWARM, VOTERS, vote.value))
    },
  }
}

function readGenesis(bytes: Uint8Array): Read {
  return { bytes, answer: () => said(parseGenesis(bytes)) }
}

function readReceipt(bytes: Uint8Array): Read {
  return {
    bytes,
    answer() {
      const verdict = verifyReceiptFile(bytes, { roots: new Set() })
      return verdict.status === 'invalid' ? verdict.reason : 'accept'
    },
  }
}
