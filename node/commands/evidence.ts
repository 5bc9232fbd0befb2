/** `cfab-node evidence`: export what a verdict rests on, show it, and judge it with no daemon and no network. */
import { open, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { FabricError } from '../../core/errors.ts'
import { parseJobId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { openCase } from '../../core/receipt/evidence-case.ts'
import {
  contradictionFile,
  type EvidenceFile,
  evidenceFileCodec,
  STATEMENT_BYTES_MAX,
} from '../../core/receipt/evidence-file.ts'
import type { Replay } from '../../core/receipt/evidence-output.ts'
import { checkEvidenceFile, type EvidenceReport, openEvidenceFile } from '../../core/receipt/evidence-verify.ts'
import type { ReceiptTrust } from '../../core/receipt/verify.ts'
import type { Config } from '../config.ts'
import { withClient } from './client.ts'
import { readRoster } from './explain.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run, repeatable } from './flags.ts'
import type { Io } from './io.ts'
import { columns, json, plainText } from './print.ts'
import { trustedRoots } from './receipt.ts'

type ExportOptions = Json & { readonly replica?: string; readonly prompt?: true; readonly out: string }
const PAIRED = ['commitment', 'chunk', 'vote', 'audit'] as const
type PairOptions = Json & { readonly kind: (typeof PAIRED)[number]; readonly genesis: string; readonly out: string }
type CheckOptions = Json & {
  readonly root: readonly string[]
  readonly roster: readonly string[]
  readonly model?: string
}

const EXIT: Readonly<Record<EvidenceReport['status'], number>> = {
  holds: 0,
  unknown_root: 3,
  false_accusation: 4,
  invalid: 65,
}
const WORDS: Readonly<Record<EvidenceReport['status'], string>> = {
  holds: 'holds: nothing that was checked contradicts it',
  unknown_root: 'unknown root: everything in it agrees, but nothing says that its swarm is one you trust',
  false_accusation: 'false: what was signed is not what the model says',
  invalid: 'invalid: it is not what was signed',
}

export function addEvidence(program: Command, run: Run): void {
  const evidence = program.command('evidence').description('what a verdict rests on, in a file that anybody can check')
  nodeFlags(evidence.command('export'))
    .description('save the evidence about one replica of a settled job')
    .argument('<job>', 'job id')
    .option('--replica <index>', 'the replica (default: the first that failed or is suspect, else 0)')
    .option('--prompt', 'put your prompt into the file: without it nobody can ask the model')
    .requiredOption('-o, --out <file>', 'where to save it')
    .option('--json', 'as JSON')
    .action((job: string, flags: NodeFlags & ExportOptions) =>
      run((io) => exportFile(job, flags, configOf(flags, io), io)),
    )
  evidence
    .command('pair')
    .description('make evidence of two signed statements that contradict each other')
    .argument('<one>', 'file of an envelope, or of an encoded vote')
    .argument('<other>')
    .addOption(new Option('--kind <kind>', 'what they are').choices(PAIRED).makeOptionMandatory())
    .requiredOption('--genesis <file>', 'the genesis of their swarm')
    .requiredOption('-o, --out <file>', 'where to save it')
    .option('--json', 'as JSON')
    .action((one: string, other: string, flags: PairOptions) => run((io) => pairFiles(one, other, flags, io)))
  checkFlags(evidence.command('verify'))
    .description(
      'check every claim: exit status 0 holds, 4 the model says otherwise, 65 invalid, 3 unknown root, 66 unreadable',
    )
    .option('--model <gguf>', 'the model file: repeats the audit')
    .action((file: string, flags: NodeFlags & CheckOptions) =>
      run((io) => verifyFile(file, flags, configOf(flags, io), io)),
    )
  checkFlags(evidence.command('show'))
    .description('what the file says, each check on its own line; the exit status is 0 when it can be read')
    .action((file: string, flags: NodeFlags & CheckOptions) =>
      run(async (io) => {
        const status = await verifyFile(file, flags, configOf(flags, io), io)
        return status === 66 ? status : 0
      }),
    )
}

async function pairFiles(
  one: string,
  other: string,
  { kind, genesis, out, ...flags }: PairOptions,
  io: Io,
): Promise<number> {
  const [root, first, second] = await Promise.all(
    [genesis, one, other].map((path) => readBounded(resolve(io.cwd, path))),
  )
  if (root === undefined || first === undefined || second === undefined) return 66
  if (root.length > LIMITS.genesisBytesMax || Math.max(first.length, second.length) > STATEMENT_BYTES_MAX)
    throw new FabricError('CF_JOB_EVIDENCE_INVALID', { bytesMax: STATEMENT_BYTES_MAX })
  const target = resolve(io.cwd, out)
  await writeFile(target, evidenceFileCodec.encode(contradictionFile(root, kind, first, second)))
  io.out(flags.json === true ? json({ file: target }) : `${target}\n`)
  return 0
}

function checkFlags(command: Command): Command {
  return command
    .argument('<file>')
    .addOption(repeatable('--root <id-or-file>', 'a swarm id or genesis file to trust, repeatable'))
    .addOption(
      repeatable(
        '--roster <file>',
        'draws the auditors again, from a roster that `cfab-node roster` saved; repeatable',
      ),
    )
    .option('--home <folder>', 'node folder whose trust store counts')
    .option('--json', 'as JSON')
}

async function exportFile(text: string, options: ExportOptions, config: Config, io: Io): Promise<number> {
  const id = parseJobId(text)
  if (id === undefined) throw new FabricError('CF_JOB_UNKNOWN', { expected: 'a job id of 64 hexadecimal digits' })
  const query = new URLSearchParams({
    ...(options.replica === undefined ? {} : { replica: options.replica }),
    ...(options.prompt === true ? { prompt: 'true' } : {}),
  })
  const path = `/api/v1/p2p/jobs/${id}/evidence${query.size === 0 ? '' : `?${query.toString()}`}`
  const bytes = await withClient(config, (client) => client.bytes(path))
  const target = resolve(io.cwd, options.out)
  await writeFile(target, bytes).catch((error: unknown) => {
    throw new FabricError('CF_STORE_FAILED', { file: target }, error)
  })
  io.out(options.json === true ? json({ file: target }) : `${target}\n`)
  return 0
}

async function verifyFile(path: string, options: CheckOptions, config: Config, io: Io): Promise<number> {
  const file = await readEvidence(path, io)
  if (file === undefined) return 66
  const rosters = await Promise.all(options.roster.map((given) => readRoster(resolve(io.cwd, given))))
  const trust: ReceiptTrust = {
    roots: await trustedRoots(options.root, config, io),
    rosters: new Map(rosters.map((roster) => [roster.root, roster])),
  }
  const replay =
    options.model === undefined ? undefined : await replayed(file, trust, resolve(io.cwd, options.model), io)
  const report = checkEvidenceFile(file, trust, replay)
  io.out(options.json === true ? json({ status: report.status, checks: report.checks }) : textOf(report))
  return EXIT[report.status]
}

/** @returns undefined when the file is not about an output that the model could be asked about: its own checks then say so */
async function replayed(file: EvidenceFile, trust: ReceiptTrust, model: string, io: Io): Promise<Replay | undefined> {
  if (file.contradiction.kind !== 'none') return undefined
  const found = openCase(file, trust)
  if (found.action !== 'accept') return undefined
  // Loaded here and not above: the other commands must not pay for the engine.
  const { askModel } = await import('../evidence-host.ts')
  const answer = await askModel(found.value, model)
  if (answer.status === 'replayed') return answer.replay
  io.err(`model: not asked: ${answer.why}\n`)
  return undefined
}

const MARKS = { ok: 'ok', failed: 'FAILED', not_checked: 'not checked' } as const

function textOf({ status, checks }: EvidenceReport): string {
  const lines = checks.map(({ name, status: found, detail }): readonly [string, string, string] => [
    name,
    MARKS[found],
    plainText(detail),
  ])
  return `${columns(lines)}\n${WORDS[status]}\n`
}

/** @returns undefined, with the reason told, when it cannot be read */
async function readEvidence(path: string, io: Io): Promise<EvidenceFile | undefined> {
  const bytes = await readBounded(resolve(io.cwd, path)).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    io.err(`error: ${path} cannot be read (${code})\n`)
    return undefined
  })
  if (bytes === undefined) return undefined
  const decoded = openEvidenceFile(bytes)
  if (decoded.action === 'accept') return decoded.value
  throw new FabricError('CF_JOB_EVIDENCE_INVALID', { file: path, reason: decoded.reason })
}

async function readBounded(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size > evidenceFileCodec.bytesMax)
      throw new FabricError('CF_JOB_EVIDENCE_INVALID', {
        file: path,
        bytes: size,
        bytesMax: evidenceFileCodec.bytesMax,
      })
    return new Uint8Array(await file.readFile())
  } finally {
    await file.close()
  }
}
