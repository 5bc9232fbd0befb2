import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compareHash64, sipFinish, sipHash24, sipState } from '../../../../core/selection/siphash.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const KEY = Uint8Array.from({ length: 16 }, (_, index) => index)
const MASK = 0xffff_ffff_ffff_ffffn

/** vectors_sip64 of the reference implementation: message i is the bytes 0..i-1, results in little-endian byte order. */
const OFFICIAL = `
310e0edd47db6f72 fd67dc93c539f874 5a4fa9d909806c0d 2d7efbd796666785 b7877127e09427cf 8da699cd64557618 cee3fe586e46c9cb 37d1018bf50002ab
6224939a79f5f593 b0e4a90bdf82009e f3b9dd94c5bb5d7a a7ad6b22462fb3f4 fbe50e86bc8f1e75 903d84c02756ea14 eef27a8e90ca23f7 e545be4961ca29a1
db9bc2577fcc2a3f 9447be2cf5e99a69 9cd38d96f0b3c14b bd6179a71dc96dbb 98eea21af25cd6be c7673b2eb0cbf2d0 883ea3e395675393 c8ce5ccd8c030ca8
94af49f6c650adb8 eab8858ade92e1bc f315bb5bb835d817 adcf6b0763612e2f a5c91da7acaa4dde 716595876650a2a6 28ef495c53a387ad 42c341d8fa92d832
ce7cf2722f512771 e37859f94623f3a7 381205bb1ab0e012 ae97a10fd434e015 b4a31508beff4d31 81396229f0907902 4d0cf49ee5d4dcca 5c73336a76d8bf9a
d0a704536ba93e0e 925958fcd6420cad a915c29bc8067318 952b79f3bc0aa6d4 f21df2e41d4535f9 87577519048f53a9 10a56cf5dfcd9adb eb75095ccd986cd0
51a9cb9ecba312e6 96afadfc2ce666c7 72fe52975a4364ee 5a1645b276d592a1 b274cb8ebf87870a 6f9bb4203de7b381 eaecb2a30b22a87f 9924a43cc1315724
bd838d3aafbf8db7 0b1a2a3265d51aea 135079a3231ce660 932b2846e4d70666 e1915f5cb1eca46c f325965ca16d629f 575ff28e60381be5 724506eb4c328a95
`
  .trim()
  .split(/\s+/)

function littleEndianHex({ hi, lo }: { readonly hi: number; readonly lo: number }): string {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(lo, 0)
  bytes.writeUInt32LE(hi, 4)
  return bytes.toString('hex')
}

/** The paper's algorithm once more, in 64-bit arithmetic. */
function sipOracle(key: Uint8Array, message: Uint8Array): bigint {
  const word = (bytes: Uint8Array, start: number) => Buffer.from(bytes).readBigUInt64LE(start)
  const [k0, k1] = [word(key, 0), word(key, 8)]
  const v = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n]
  const get = (index: number) => v[index] ?? 0n
  const turn = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & MASK
  const mix = (a: number, b: number, bits: bigint) => {
    v[a] = (get(a) + get(b)) & MASK
    v[b] = turn(get(b), bits) ^ get(a)
  }
  const round = () => {
    mix(0, 1, 13n)
    v[0] = turn(get(0), 32n)
    mix(2, 3, 16n)
    mix(0, 3, 21n)
    mix(2, 1, 17n)
    v[2] = turn(get(2), 32n)
  }
  const padded = Buffer.alloc(message.length - (message.length % 8) + 8)
  padded.set(message)
  padded[padded.length - 1] = message.length & 0xff
  for (let at = 0; at < padded.length; at += 8) {
    v[3] = get(3) ^ word(padded, at)
    round()
    round()
    v[0] = get(0) ^ word(padded, at)
  }
  v[2] = get(2) ^ 0xffn
  for (let count = 0; count < 4; count++) round()
  return get(0) ^ get(1) ^ get(2) ^ get(3)
}

test('SipHash-2-4 gives all 64 vectors of its reference implementation', () => {
  assert.is(OFFICIAL.length, 64)
  for (const [length, expected] of OFFICIAL.entries()) {
    assert.is(
      littleEndianHex(
        sipHash24(
          KEY,
          Uint8Array.from({ length }, (_, index) => index),
        ),
      ),
      expected,
    )
  }
})

test('32-bit halves give what 64-bit arithmetic gives, for any key and message', () => {
  const random = seededRandom(testSeed())
  for (let run = 0; run < 300; run++) {
    const [key, message] = [random.bytes(16), random.bytes(random.below(300))]
    const { hi, lo } = sipHash24(key, message)
    assert.is((BigInt(hi) << 32n) | BigInt(lo), sipOracle(key, message))
  }
})

test('the short path of one 4-byte word gives what the general one gives', () => {
  for (const token of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const message = Buffer.alloc(4)
    message.writeUInt32LE(token)
    assert.equal(sipFinish(sipState(KEY), token | 0, 4 << 24), sipHash24(KEY, message))
  }
})

test('results compare as unsigned 64-bit numbers', () => {
  const small = { hi: 0x7fffffff, lo: 0xffffffff }
  const large = { hi: 0x80000000, lo: 0 }
  assert.ok(compareHash64(small, large) < 0)
  assert.ok(compareHash64({ hi: 1, lo: 0x80000000 }, { hi: 1, lo: 1 }) > 0)
  assert.is(compareHash64(large, { ...large }), 0)
})

test('a key of another length is a bug', () => {
  assert.throws(() => sipHash24(new Uint8Array(15), new Uint8Array()), /16 bytes/)
})

test.run()
