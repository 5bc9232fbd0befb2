/** Every body of the protocol, found by looking: a new one is fuzzed from the day it exists. */
import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { BodyCodec } from '../../core/codec/schema.ts'

const ROOT = join(import.meta.dirname, '..', '..')

export type AnyCodec = BodyCodec<unknown>

/** @returns the exported codecs of core, one a type, in order of their types */
export async function allCodecs(): Promise<readonly AnyCodec[]> {
  const files = globSync('core/**/*.ts', { cwd: ROOT }).filter((file) => !/\.noble\.ts$/.test(file))
  const modules = await Promise.all(files.map((file) => import(join(ROOT, file))))
  const codecs = modules.flatMap((module: object) => Object.values(module)).flatMap((value) => parseCodec(value) ?? [])
  const byType = new Map(codecs.map((codec) => [codec.type, codec]))
  return [...byType.values()].sort((a, b) => (a.type < b.type ? -1 : 1))
}

function parseCodec(value: unknown): AnyCodec | undefined {
  const isCodec = typeof value === 'object' && value !== null && 'bytesMax' in value && 'digest' in value
  return isCodec && 'decode' in value && 'encode' in value ? (value as AnyCodec) : undefined
}
