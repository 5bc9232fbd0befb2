import { toHex } from '../../../core/codec/bytes.ts'
import { chooseToken, gumbelNoise, jobSeed, positionHash, topPlaces } from '../../../core/verification/gumbel.ts'
import { jobNamed } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const JOB = jobNamed('vector job')
const NONCE = Uint8Array.from({ length: 32 }, (_, index) => index)
const SEED = jobSeed(JOB, NONCE)

type Position = {
  readonly name: string
  readonly ids: readonly number[]
  readonly logits: readonly number[]
  readonly topK: number
  readonly temperatureMilli: number
  readonly t: number
}

const IDS = Array.from({ length: 64 }, (_, place) => (place * 977) % 32_000)
/** Multiples of 1/64: the same in single and double precision. */
const LOGITS = IDS.map((_, place) => 12 - (place * place) / 64)

const POSITIONS: readonly Position[] = [
  { name: 'temperature 1 at position 0', ids: IDS, logits: LOGITS, topK: 40, temperatureMilli: 1000, t: 0 },
  { name: 'temperature 0.7 at position 1', ids: IDS, logits: LOGITS, topK: 40, temperatureMilli: 700, t: 1 },
  {
    name: 'temperature 1.5 at position 4,294,967,295',
    ids: IDS,
    logits: LOGITS,
    topK: 40,
    temperatureMilli: 1500,
    t: 4_294_967_295,
  },
  {
    name: 'temperature 2 over equal logits',
    ids: IDS,
    logits: IDS.map(() => 1),
    topK: 8,
    temperatureMilli: 2000,
    t: 3,
  },
  { name: 'temperature 0', ids: IDS, logits: LOGITS, topK: 40, temperatureMilli: 0, t: 4 },
  {
    name: 'temperature 0 with a tie at the top',
    ids: [9, 4, 7],
    logits: [2, 2, 1],
    topK: 3,
    temperatureMilli: 0,
    t: 5,
  },
  { name: 'a tie at the edge of the top-k', ids: [9, 4, 7], logits: [2, 2, 3], topK: 2, temperatureMilli: 1000, t: 6 },
  { name: 'top-k of one', ids: IDS, logits: LOGITS, topK: 1, temperatureMilli: 1000, t: 7 },
  {
    name: 'candidates in another order',
    ids: [...IDS].reverse(),
    logits: [...LOGITS].reverse(),
    topK: 40,
    temperatureMilli: 1000,
    t: 8,
  },
  { name: 'the largest token id', ids: [4_294_967_295, 0], logits: [1, 1], topK: 2, temperatureMilli: 1000, t: 9 },
]

const chosenAt = ({ ids, logits, topK, temperatureMilli, t }: Position, shift = 0) =>
  chooseToken(ids, logits, topK, temperatureMilli / 1000, SEED, t + shift)

function caseOf(position: Position, claimed: number, accept: boolean, name: string): VectorCase {
  const { ids, logits, topK, temperatureMilli, t } = position
  const h = positionHash(SEED, t)
  return {
    name,
    accept,
    input: { jobId: JOB, seedNonce: toHex(NONCE), t, topK, temperatureMilli, ids, logits, claimed },
    expect: { seed: toHex(SEED), positionHash: toHex(h), noise: ids.slice(0, 4).map((id) => gumbelNoise(h, id)) },
  }
}

/** What a worker would claim that breaks one rule of the definition. */
function wrongClaims(position: Position): readonly (readonly [string, number])[] {
  const { ids, logits, topK } = position
  const places = topPlaces(ids, logits, ids.length)
  const [first, second] = [ids[places[0] ?? 0] ?? 0, ids[places[1] ?? 0] ?? 0]
  const beyond = ids[places[topK] ?? -1]
  const chosen = chosenAt(position)
  const wrong: (readonly [string, number])[] = [
    [`the most likely token in spite of the noise`, first],
    ['the second most likely token', second],
  ]
  if (beyond !== undefined) wrong.push(['the first token below the top-k', beyond])
  return wrong.filter(([, id]) => id !== chosen)
}

export function gumbelVectors(): VectorFile {
  const right = POSITIONS.map((position) => caseOf(position, chosenAt(position), true, position.name))
  const wrong = POSITIONS.flatMap((position) =>
    wrongClaims(position).map(([why, id]) => caseOf(position, id, false, `${position.name}: ${why}`)),
  )
  return {
    name: 'gumbel',
    describe:
      'Choose the token of position t by gumbel-v1; accept means that it is the claimed one. noise belongs to the first four ids and may differ by 1e-12.',
    cases: [...right, ...wrong],
  }
}
