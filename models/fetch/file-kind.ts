/** The kinds of files that a pull may put in place, told from their first bytes: a page that says "not found" is none of them. */

export const FILE_KINDS = ['gguf', 'onnx', 'tokenizer'] as const
export type FileKind = (typeof FILE_KINDS)[number]

/** How much of a file's beginning tells its kind. */
export const HEAD_BYTES = 4
const GGUF = Buffer.from('GGUF')
/** Field 1, a varint: the format's version, which every ONNX writer puts first. */
const ONNX_FIRST = 0x08
const JSON_FIRST = /^[\s{[]*$/

/** @param head  the first bytes that are there, at most HEAD_BYTES; `false` as soon as they cannot be of the kind */
export function mayBe(kind: FileKind, head: Uint8Array): boolean {
  if (head.length === 0) return true
  if (kind === 'gguf') return GGUF.subarray(0, head.length).equals(head)
  if (kind === 'onnx') return head[0] === ONNX_FIRST
  return JSON_FIRST.test(String.fromCharCode(head[0] ?? 0))
}
