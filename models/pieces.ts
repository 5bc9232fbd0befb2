/**
 * The bytes that each token of a vocabulary stands for in a text.
 *
 * Why not by detokenizing: that drops spaces before some signs, and gives no bytes of half a character.
 *
 * @see llama.cpp's llama_token_to_piece; GPT-2's table of bytes as characters (Radford et al. 2019)
 */
import type { GgufFileInfo } from 'node-llama-cpp'
import type { Detokenize } from './text-stream.ts'

/** @param showControl  else control tokens stand for nothing */
export type Piece = (id: number, showControl: boolean) => Uint8Array
type Vocabulary = NonNullable<GgufFileInfo['metadata']['tokenizer']>['ggml']

const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4
const UNUSED = 5
const BYTE = 6
/** Kinds whose tokens have a sign in a space's place. */
const WITH_SPACE_SIGN: ReadonlySet<string> = new Set(['llama', 't5', 'gemma4'])
const SPACE_SIGN = /\u2581/g
const NOTHING = new Uint8Array()

/** @returns undefined for a vocabulary of a kind that is not known */
export function createPieces(info: GgufFileInfo): Piece | undefined {
  const vocabulary = info.metadata.tokenizer?.ggml
  if (vocabulary === undefined) return undefined
  const textBytes = textBytesOf(vocabulary.model)
  if (textBytes === undefined) return undefined
  const known: (Uint8Array | undefined)[] = []
  return (id, showControl) => {
    const type = vocabulary.token_type?.[id]
    if (!showControl && (type === CONTROL || type === UNKNOWN)) return NOTHING
    const bytes = known[id] ?? bytesOf(vocabulary, id, textBytes)
    known[id] = bytes
    return bytes
  }
}

/** Bytes that are no character show as U+FFFD, as the Encoding Standard has it. */
export function detokenizeFrom(piece: Piece): Detokenize {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return (ids, _before, showControl) => decoder.decode(Buffer.concat(ids.map((id) => piece(id, showControl))))
}

function bytesOf({ tokens, token_type: types }: Vocabulary, id: number, textBytes: (text: string) => Uint8Array) {
  const text = tokens[id] ?? ''
  switch (types?.[id]) {
    case BYTE:
      return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16))
    case UNKNOWN:
    case CONTROL:
    case USER_DEFINED:
      return Buffer.from(text)
    case UNUSED:
      return NOTHING
    default:
      return textBytes(text)
  }
}

function textBytesOf(kind: string): ((text: string) => Uint8Array) | undefined {
  if (WITH_SPACE_SIGN.has(kind)) return (text) => Buffer.from(text.replace(SPACE_SIGN, ' '))
  if (kind !== 'gpt2') return undefined
  const bytes = gpt2Bytes()
  return (text) => Buffer.concat([...text].map((char) => bytes.get(char) ?? Buffer.from(char)))
}

/** Bytes that are no printable sign have one past Latin-1, in order. */
function gpt2Bytes(): ReadonlyMap<string, Uint8Array> {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
  const bytes = Array.from({ length: 256 }, (_, byte) => byte)
  const hidden = bytes.filter((byte) => !isPrintable(byte))
  return new Map(
    bytes.map((byte) => {
      const sign = isPrintable(byte) ? byte : 0x100 + hidden.indexOf(byte)
      return [String.fromCharCode(sign), Uint8Array.of(byte)]
    }),
  )
}
