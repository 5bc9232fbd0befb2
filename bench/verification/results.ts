/** `bench/results/verification.json`: every part is written by itself, for each takes minutes. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'

const FILE = new URL('../results/verification.json', import.meta.url)

/** Replaces one part of the file, with the machine and its load beside it. */
export function savePart(name: string, part: object): void {
  mkdirSync(new URL('.', FILE), { recursive: true })
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version }
  const before = existsSync(FILE) ? parseParts(JSON.parse(readFileSync(FILE, 'utf8'))) : {}
  const parts = { ...before, [name]: { ...part, machine, load: loadavg()[0] } }
  writeFileSync(FILE, `${JSON.stringify({ bench: 'verification', parts }, rounded, 1)}\n`)
}

/** Written by this program. */
function parseParts(value: unknown): Readonly<Record<string, object>> {
  return (value as { parts: Record<string, object> }).parts
}

/** Six digits say more than was measured. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
}
