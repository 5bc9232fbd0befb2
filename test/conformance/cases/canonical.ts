import { toHex } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { taggedOf } from '../tagged.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const VALUES: Readonly<Record<string, Wire>> = {
  zero: 0,
  'the largest one-byte integer': 127,
  'the smallest two-byte integer': 128,
  'the smallest three-byte integer': 256,
  'the smallest five-byte integer': 65_536,
  'the largest number': 0xffff_ffff,
  'a wide zero': 0n,
  'a wide five, which is not the number five': 5n,
  'a wide minus one': -1n,
  'the smallest wide integer': -(2n ** 63n),
  'the largest signed wide integer': 2n ** 63n - 1n,
  'the smallest unsigned wide integer': 2n ** 63n,
  'the largest wide integer': 2n ** 64n - 1n,
  true: true,
  'the empty text': '',
  'a text of 31 bytes': 'a'.repeat(31),
  'a text of 32 bytes in 16 letters': 'é'.repeat(16),
  'a text of 256 bytes': 'a'.repeat(256),
  'a text that begins with a byte order mark': `\ufeff${'x'.repeat(70)}`,
  'a text with a letter outside the basic plane': '🧵',
  'no bytes': new Uint8Array(),
  '255 bytes': new Uint8Array(255).fill(7),
  '256 bytes': new Uint8Array(256).fill(7),
  'an empty array': [],
  'an array of 15': Array.from({ length: 15 }, () => 1),
  'an array of 16': Array.from({ length: 16 }, () => 1),
  'a body of version 1': [1, 'name', Uint8Array.of(1, 2), [3n, false]],
  'eight arrays deep': [[[[[[[[]]]]]]]],
}

const REFUSED: readonly (readonly [string, string, RejectReason])[] = [
  ['nothing', '', 'bytes_truncated'],
  ['nil', 'c0', 'bytes_type_not_allowed'],
  ['the type that is never used', 'c1', 'bytes_type_not_allowed'],
  ['a short map', '80', 'bytes_type_not_allowed'],
  ['a map of 16 bits', 'de0000', 'bytes_type_not_allowed'],
  ['a map of 32 bits', 'df00000000', 'bytes_type_not_allowed'],
  ['a float of 32 bits', 'ca00000000', 'bytes_type_not_allowed'],
  ['a float of 64 bits', 'cb41f0000000000000', 'bytes_type_not_allowed'],
  ['a record definition of msgpackr', 'd4724093a161', 'bytes_type_not_allowed'],
  ['a timestamp', 'd6ff00000000', 'bytes_type_not_allowed'],
  ['an extension of 8 bits', 'c70001', 'bytes_type_not_allowed'],
  ['an extension of 16 bits', 'c8000001', 'bytes_type_not_allowed'],
  ['an extension of 32 bits', 'c90000000001', 'bytes_type_not_allowed'],
  ['a short negative integer', 'ff', 'bytes_type_not_allowed'],
  ['a negative integer of 8 bits', 'd080', 'bytes_type_not_allowed'],
  ['a signed integer of 16 bits', 'd17fff', 'bytes_type_not_allowed'],
  ['a signed integer of 32 bits', 'd27fffffff', 'bytes_type_not_allowed'],
  ['127 in two bytes', 'cc7f', 'bytes_not_canonical'],
  ['255 in three bytes', 'cd00ff', 'bytes_not_canonical'],
  ['65535 in five bytes', 'ce0000ffff', 'bytes_not_canonical'],
  ['a wide one as unsigned', 'cf0000000000000001', 'bytes_not_canonical'],
  ['2^63 - 1 as unsigned', 'cf7fffffffffffffff', 'bytes_not_canonical'],
  ['a short text with a length byte', 'd90161', 'bytes_not_canonical'],
  ['a text of one byte with two length bytes', 'da000161', 'bytes_not_canonical'],
  ['a text of one byte with four length bytes', 'db0000000161', 'bytes_not_canonical'],
  ['one byte with two length bytes', 'c5000107', 'bytes_not_canonical'],
  ['one byte with four length bytes', 'c60000000107', 'bytes_not_canonical'],
  ['an array of one with two length bytes', 'dc000101', 'bytes_not_canonical'],
  ['an array of one with four length bytes', 'dd0000000101', 'bytes_not_canonical'],
  ['an overlong zero in a text', 'a2c080', 'bytes_not_canonical'],
  ['a surrogate in a text', 'a3eda080', 'bytes_not_canonical'],
  ['a text that ends within a letter', 'a1c3', 'bytes_not_canonical'],
  ['a letter that the end of its text cuts, with bytes after it', '92a1c3a9', 'bytes_not_canonical'],
  ['a letter above U+10FFFF', 'a4f4908080', 'bytes_not_canonical'],
  ['a value and one more byte', '0000', 'bytes_trailing'],
  ['an array cut off', '9201', 'bytes_truncated'],
  ['an integer cut off', 'cd01', 'bytes_truncated'],
  ['a wide integer cut off', 'd300000000000000', 'bytes_truncated'],
  ['bytes cut off', 'c40201', 'bytes_truncated'],
  ['a text cut off', 'a261', 'bytes_truncated'],
  ['an array that announces more than there is', 'dc00ff00', 'bytes_truncated'],
  ['an array that announces 2^32 - 1 items', 'ddffffffff', 'bytes_too_many_items'],
  ['nine arrays deep', '919191919191919190', 'bytes_too_deep'],
]

export function canonicalVectors(): VectorFile {
  const accepted = Object.entries(VALUES).map(([name, value]): VectorCase => {
    return { name, accept: true, input: { bytes: toHex(encodeWire(value)) }, expect: { value: taggedOf(value) } }
  })
  const refused = REFUSED.map(
    ([name, bytes, reason]): VectorCase => ({ name, accept: false, input: { bytes }, expect: { reason } }),
  )
  return {
    name: 'canonical',
    describe:
      'Decode bytes (at most 8 arrays deep, 65,536 items, 1 MiB). Accepted ones give the value and encode to the same bytes.',
    cases: [...accepted, ...refused],
  }
}
