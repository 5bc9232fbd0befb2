/** The models that this version knows by name; files of bundled ones are part of the package. */
import { fileURLToPath } from 'node:url'

export type CatalogueEntry = {
  /** What callers write in `model`. */
  readonly id: string
  /** Absolute path. */
  readonly path: string
  /** sha256 of the file, lowercase hex. */
  readonly digest: string
  readonly bytes: number
  /** Millions of parameters, rounded up: what the price depends on. */
  readonly megaParams: number
  /** For people, e.g. `2.4M`. */
  readonly parameters: string
  readonly contextTokens: number
  /** SPDX. */
  readonly licence: string
  /** sha256 of the chat template text, lowercase hex. */
  readonly templateDigest: string
  readonly createdMs: number
}

/** Own work, trained from scratch: see data/README-cfab-tiny.md. */
export const CFAB_TINY: CatalogueEntry = {
  id: 'cfab-tiny',
  path: bundled('cfab-tiny-q8_0.gguf'),
  digest: 'b911488af9faef4d6941e261742b6171e380e1754f78024e4f5de4331ef0dc46',
  bytes: 2_564_096,
  megaParams: 3,
  parameters: '2.4M',
  contextTokens: 1_024,
  licence: 'Apache-2.0',
  templateDigest: '66edfb854931c933d3ac94f507626dd4fa2d5ca0a9b1036b11729d296a7392ac',
  createdMs: 1_795_305_600_000,
}

export const CATALOGUE: readonly CatalogueEntry[] = [CFAB_TINY]

export function findModel(id: string): CatalogueEntry | undefined {
  return CATALOGUE.find((entry) => entry.id === id)
}

function bundled(file: string): string {
  return fileURLToPath(new URL(`./data/${file}`, import.meta.url))
}
