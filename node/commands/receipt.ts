/** `cfab-node receipt`: show and verify a receipt file, with no daemon and no network. */
import { open, readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import { parseSwarmId, type SwarmId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { parseGenesis } from '../../core/log/genesis.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../core/receipt/verify.ts'
import type { Config } from '../config.ts'
import { readRoster } from './explain.ts'
import type { Io } from './io.ts'
import { json, plainText } from './print.ts'
import { factsText, plain } from './receipt-text.ts'

type ShowOptions = { readonly json?: boolean }
export type VerifyOptions = ShowOptions & { readonly root: readonly string[]; readonly roster: readonly string[] }

const EXIT_INVALID = 65
const EXIT_UNKNOWN_ROOT = 3
const EXIT_UNREADABLE = 66
const FILE_BYTES_MAX = LIMITS.receiptOutputBytesMax + LIMITS.receiptBytesMax * 5
const ROOTS_BYTES_MAX = 1_048_576
/** Decodes and checks everything but who signed the genesis: for reading, not for trusting. */
export async function showReceipt(path: string, options: ShowOptions, io: Io): Promise<number> {
  const bytes = await readReceipt(path, io)
  if (bytes === undefined) return EXIT_UNREADABLE
  const verdict = verifyReceiptFile(bytes, { roots: new Set() })
  if (verdict.status === 'invalid') return tellInvalid(verdict, options, io)
  io.out(options.json === true ? json(plain(verdict.facts)) : factsText(verdict.facts))
  return 0
}

/** Exit status: 0 valid, 65 invalid, 3 when the swarm is not one that the caller trusts, 66 when the file cannot be read. */
export async function verifyReceipt(path: string, options: VerifyOptions, config: Config, io: Io): Promise<number> {
  const bytes = await readReceipt(path, io)
  if (bytes === undefined) return EXIT_UNREADABLE
  const roots = await trustedRoots(options.root, config, io)
  const given = await Promise.all(options.roster.map((file) => readRoster(resolve(io.cwd, file))))
  const rosters = new Map(given.map((roster) => [roster.root, roster]))
  const verdict = verifyReceiptFile(bytes, { roots, rosters })
  if (verdict.status === 'invalid') return tellInvalid(verdict, options, io)
  const known = verdict.status === 'valid'
  if (options.json === true) io.out(json({ status: verdict.status, facts: plain(verdict.facts) }))
  else if (known) io.out(`valid\n${factsText(verdict.facts)}`)
  if (known) return 0
  if (options.json !== true) {
    io.out(`unknown root: everything in it agrees, but nothing says that swarm ${verdict.swarm} is one you trust\n`)
    io.err(
      `hint: compare with \`cfab-node status\` or ask the swarm's operator, then --root ${verdict.swarm} or a line in ${config.paths.roots}\n`,
    )
  }
  return EXIT_UNKNOWN_ROOT
}

function tellInvalid(verdict: Extract<ReceiptVerdict, { status: 'invalid' }>, options: ShowOptions, io: Io): number {
  const { where, reason } = verdict
  io.out(
    options.json === true
      ? json({ status: 'invalid', where, reason })
      : `invalid: ${plainText(where)}: ${plainText(reason)}\n`,
  )
  return EXIT_INVALID
}

async function readReceipt(path: string, io: Io): Promise<Uint8Array | undefined> {
  try {
    const file = await open(resolve(io.cwd, path), 'r')
    try {
      const { size } = await file.stat()
      if (size <= FILE_BYTES_MAX) return new Uint8Array(await file.readFile())
      io.err(`error: ${path} has ${size} bytes; no receipt file has more than ${FILE_BYTES_MAX}\n`)
    } finally {
      await file.close()
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    io.err(`error: ${path} cannot be read (${code})\n`)
  }
  return undefined
}

/** Swarm ids of the trust store and of every `--root`: an id, or a genesis file whose hash is the id. */
export async function trustedRoots(given: readonly string[], config: Config, io: Io): Promise<ReadonlySet<SwarmId>> {
  const roots = new Set(await storedRoots(config.paths.roots))
  for (const root of given) roots.add(parseSwarmId(root) ?? (await rootOfGenesis(resolve(io.cwd, root), root)))
  return roots
}

async function rootOfGenesis(path: string, given: string): Promise<SwarmId> {
  const bytes = await readBounded(path, LIMITS.genesisBytesMax).catch((error: unknown) => {
    throw new FabricError(
      'CF_CONFIG_INVALID',
      { key: '--root', value: given, expected: 'a swarm id or a genesis file' },
      error,
    )
  })
  const genesis = parseGenesis(bytes)
  if (genesis.action === 'accept') return genesis.value.swarmId
  throw new FabricError('CF_CONFIG_INVALID', { key: '--root', value: given, reason: 'not a genesis file' })
}

/** One swarm id a line; blank lines and `#` comments are skipped, anything else is an error: a typo must not silently drop a root. */
async function storedRoots(path: string): Promise<readonly SwarmId[]> {
  const bytes = await readBounded(path, ROOTS_BYTES_MAX).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0)
    throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path }, error)
  })
  const lines = Buffer.from(bytes).toString('utf8').split('\n')
  return lines.flatMap((line, index) => {
    const text = line.replace(/#.*$/, '').trim()
    const root = parseSwarmId(text)
    if (text !== '' && root === undefined)
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, line: index + 1 })
    return root === undefined ? [] : [root]
  })
}

async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  const { size } = await stat(path)
  if (size > bytesMax) throw new FabricError('CF_CONFIG_INVALID', { file: path, bytesMax })
  return new Uint8Array(await readFile(path))
}
