/** Sealing and opening a box against one verification of a signature by node:crypto: what it costs that words travel sealed. */
import { concatBytes } from '../core/codec/bytes.ts'
import { signBytes, verifyBytes } from '../core/identity/ed25519.ts'
import { keyPairFromSeed } from '../core/identity/keys.ts'
import { AnswerOpener, AnswerSealer } from '../core/identity/sealed-answers.ts'
import { type BoxContext, openBox, sealBox } from '../core/identity/sealed-box.ts'
import { digestOf, type JobId, type SwarmId } from '../core/ids.ts'
import type { Result } from './report.ts'
import { medianOf, timeInTurn } from './rounds.ts'
import { verificationsOf, verifyBarely } from './signatures.ts'

const COUNT = 200
/** A prompt of a few hundred tokens with its order, and one of a long context. */
const [SHORT_BYTES, LONG_BYTES] = [2_048, 262_144]
const [FRAME_BYTES, FRAME_COUNT] = [64, 1_000]
const BARE = 'node:crypto verify alone'
const PAIR = 'seal + open, 2 KiB'

export async function sealedBoxBench(runs: number): Promise<Result> {
  const [from, to] = [keyPairFromSeed(new Uint8Array(32).fill(1)), keyPairFromSeed(new Uint8Array(32).fill(2))]
  const [swarmId, jobId] = [digestOf(new Uint8Array(32)) as SwarmId, digestOf(new Uint8Array(32).fill(1)) as JobId]
  const context: BoxContext = { swarmId, jobId, kind: 'job/execute', from: from.peer, to: to.peer }
  const [short, long] = [new Uint8Array(SHORT_BYTES).fill(1), new Uint8Array(LONG_BYTES).fill(1)]
  const messages = Array.from({ length: COUNT }, (_, place) => concatBytes(short, Uint8Array.of(place)))
  const verifications = verificationsOf(() => {
    for (const message of messages) verifyBytes(from.publicKey, message, signBytes(from.seed, message))
  })
  if (verifications.length !== COUNT) throw new Error('one verification a message')
  let turn = 0
  const seal = (words: Uint8Array): Uint8Array => {
    turn += 1
    return sealBox(context, words, new Uint8Array(new Float64Array([turn, 0, 0, 0]).buffer)).box
  }
  const open = (box: Uint8Array): void => {
    if (openBox(to, context, box).action !== 'accept') throw new Error('a box does not open')
  }
  const sealed = messages.map((words) => seal(words))
  const ways = [
    { name: BARE, run: () => verifyBarely(verifications) },
    { name: 'seal, 2 KiB', run: () => void messages.map((words) => seal(words)) },
    {
      name: 'open, 2 KiB',
      run: () => {
        for (const box of sealed) open(box)
      },
    },
    {
      name: PAIR,
      run: () => {
        for (const words of messages) open(seal(words))
      },
    },
  ]
  const figures = [
    ...timeInTurn(ways, runs, COUNT),
    ...timeInTurn([{ name: 'seal + open, 256 KiB', run: () => open(seal(long)) }], runs, 1),
    ...timeInTurn([{ name: 'answer frame, both sides', run: () => answer(short) }], runs, FRAME_COUNT),
  ]
  return {
    bench: 'sealed-box',
    figures,
    ratios: [{ name: 'seal + open / bare verify', value: medianOf(figures, PAIR) / medianOf(figures, BARE) }],
  }
}

function answer(words: Uint8Array): void {
  const secret = words.slice(0, 32)
  const [sealer, opener] = [new AnswerSealer(secret, secret), new AnswerOpener(secret)]
  for (let count = 0; count < FRAME_COUNT; count += 1) {
    const frame = words.subarray(0, FRAME_BYTES)
    if (opener.open(sealer.seal(frame)).action !== 'accept') throw new Error('a frame does not open')
  }
}
