/** The models that this version knows by name; files of bundled ones are part of the package. */
import { fileURLToPath } from 'node:url'
import type { ModelShape } from './memory.ts'

export type CatalogueEntry = {
  /** What callers write in `model`. */
  readonly id: string
  readonly task: 'chat' | 'embedding'
  readonly format: 'gguf' | 'onnx'
  /** Absolute path. */
  readonly path: string
  /** sha256 of the file, lowercase hex. */
  readonly digest: string
  readonly bytes: number
  /** Millions of parameters, rounded up: what the price depends on. */
  readonly megaParams: number
  /** For people, e.g. `2.4M`. */
  readonly parameters: string
  /** For people, e.g. `Q8_0`. */
  readonly quantisation: string
  readonly contextTokens: number
  /** Length of an embedding vector; 0 for a model that generates. */
  readonly dimensions: number
  /** Vocabulary file of an `onnx` model. */
  readonly tokenizer?: { readonly path: string; readonly digest: string }
  /** How an encoder's vectors of tokens become one of the text; absent where the model gives one. */
  readonly pooling?: 'mean' | 'cls'
  /** SPDX. */
  readonly licence: string
  /** sha256 of the chat template's text, or of the vocabulary file; lowercase hex. */
  readonly templateDigest: string
  readonly createdMs: number
  /** Of a GGUF file: what it takes in memory besides the file. */
  readonly shape?: ModelShape
}

/** Own work, trained from scratch: see data/README-cfab-tiny.md. */
export const CFAB_TINY: CatalogueEntry = {
  id: 'cfab-tiny',
  task: 'chat',
  format: 'gguf',
  path: bundled('cfab-tiny-q8_0.gguf'),
  digest: 'b911488af9faef4d6941e261742b6171e380e1754f78024e4f5de4331ef0dc46',
  bytes: 2_564_096,
  megaParams: 3,
  parameters: '2.4M',
  quantisation: 'Q8_0',
  contextTokens: 1_024,
  dimensions: 0,
  licence: 'Apache-2.0',
  templateDigest: '66edfb854931c933d3ac94f507626dd4fa2d5ca0a9b1036b11729d296a7392ac',
  createdMs: 1_795_305_600_000,
  shape: { keyValueBytes: 1_280, activationBytes: 22_528, isEncoder: false },
}

const USE_LITE_VOCABULARY = '1ad860b9720c16cd48e666d664a556b2515c04f5a26a4b53c0372427913b1b8e'

/** Universal Sentence Encoder lite, English; int8 weights folded to f32 at load. */
export const USE_LITE: CatalogueEntry = {
  id: 'use-lite-en',
  task: 'embedding',
  format: 'onnx',
  path: bundled('use-lite-en-w8.onnx'),
  digest: '6d5ccc423730920f0e6eb4105df0a80ded50ca8c80c8f6165da29f4865f4fbe7',
  bytes: 7_084_179,
  megaParams: 7,
  parameters: '7.0M',
  quantisation: 'int8',
  contextTokens: 128,
  dimensions: 512,
  tokenizer: { path: bundled('use-lite-en-vocab.json'), digest: USE_LITE_VOCABULARY },
  licence: 'Apache-2.0',
  templateDigest: USE_LITE_VOCABULARY,
  createdMs: 1_795_305_600_000,
}

export const CATALOGUE: readonly CatalogueEntry[] = [CFAB_TINY, USE_LITE]

export function findModel(id: string): CatalogueEntry | undefined {
  return CATALOGUE.find((entry) => entry.id === id)
}

function bundled(file: string): string {
  return fileURLToPath(new URL(`./data/${file}`, import.meta.url))
}
