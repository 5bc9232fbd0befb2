/** `cfab-node models`: which models this node has and could have, and how it gets them. Needs no running node. */
import { type Command, Option } from 'commander'
import { ERRORS, FabricError } from '../../core/errors.ts'
import { CATALOGUE, findModel } from '../../models/catalogue.ts'
import { withLock } from '../../models/fetch/lock.ts'
import { discardPart } from '../../models/fetch/part.ts'
import { type Pulled, type PullOptions, type PullPorts, type PullRequest, pullModel } from '../../models/fetch/pull.ts'
import { installedModels, isModelId, lockPath, partPath, removeInstalled } from '../../models/installed.ts'
import { verifyModelFile } from '../../models/model-file.ts'
import type { Pooling } from '../../models/onnx-signature.ts'
import { type Verdict, verdictOf, verifyInstalled } from '../../models/verify.ts'
import type { Config } from '../config.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { configOf, type Json, type NodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { humanBytes, type ModelRow, modelRows, modelTable } from './models-list.ts'
import { addRunningModels } from './models-running.ts'
import { columns, json, plainText } from './print.ts'
import { showProgress } from './progress.ts'

type HomeFlags = Pick<NodeFlags, 'home'> & Json
type PullFlags = HomeFlags & {
  readonly as?: string
  readonly sha256?: string
  readonly tokenizer?: string
  readonly pooling?: Pooling
}

const EXIT_INTERRUPTED = 130
const LOCK_MS = 250
const TRUST = {
  pinned: 'the digest is the one that was asked for',
  stated: 'the digest is the one that the hub states, trusted on first use',
  'first-use': 'nobody else states a digest: this one is trusted on first use',
} as const

export function addModels(program: Command, run: Run): void {
  const models = program
    .command('models')
    .description('list, pull, remove and verify models; see and change which a running node has in memory')
  const home = (command: Command): Command =>
    command.option('--home <folder>', 'node folder').option('--json', 'as JSON')
  home(models.command('ls'))
    .description('models of this node and of the catalogue')
    .action((flags: HomeFlags) => run((io) => listModels(flags, configOf(flags, io), io)))
  home(models.command('pull'))
    .description('get a model, or go on getting it')
    .argument('<model>', 'catalogue id, hf:org/repo/file.gguf[@revision], https address, or path of a file')
    .option('--as <id>', 'id to install it under')
    .option('--sha256 <hex>', 'refuse a file with another digest')
    .option('--tokenizer <source>', 'vocabulary of an ONNX encoder (default: tokenizer.json where hubs keep it)')
    .addOption(
      new Option('--pooling <how>', 'of an ONNX encoder that gives one vector for each token').choices(['mean', 'cls']),
    )
    .action((model: string, flags: PullFlags) => run((io) => pull(model, flags, configOf(flags, io), io)))
  home(models.command('rm'))
    .description('remove a pulled model, or what has arrived of one')
    .argument('<id>', 'model id')
    .action((id: string, flags: HomeFlags) => run((io) => remove(id, flags, configOf(flags, io), io)))
  home(models.command('verify'))
    .description('read model files again and compare their digests')
    .argument('[id]', 'only this one')
    .action((id: string | undefined, flags: HomeFlags) => run((io) => verify(id, flags, configOf(flags, io), io)))
  addRunningModels(models, run)
}

async function listModels(options: Json, config: Config, io: Io): Promise<number> {
  const rows = await modelRows(config)
  io.out(options.json === true ? json({ models: rows.map(jsonRow) }) : modelTable(rows))
  return 0
}

/** What is not known is null. */
function jsonRow(row: ModelRow) {
  const { id, task, parameters, quantisation, bytes, contextTokens, licence, state, servedTokens, digest, source } = row
  return {
    ...{ id, task, state, parameters, quantisation, licence, source, digest: digest ?? null, bytes: bytes ?? null },
    ...{ context_tokens: contextTokens ?? null, fits_tokens: servedTokens ?? null },
  }
}

function jsonPulled({ manifest, isNew }: Pulled) {
  const { id, task, parameters, quantisation, licence, source, digest, trust, bytes, contextTokens } = manifest
  return {
    ...{ id, task, parameters, quantisation, licence, source, digest, trust, bytes },
    ...{ context_tokens: contextTokens, template_digest: manifest.templateDigest, is_new: isNew },
  }
}

async function pull(model: string, flags: PullFlags, config: Config, io: Io): Promise<number> {
  const { as, sha256, tokenizer, pooling } = flags
  const stop = new AbortController()
  const unlisten = io.onStop(() => stop.abort(new Error('interrupted')))
  const progress = showProgress(io)
  const request = {
    model,
    ...(as === undefined ? {} : { as }),
    ...(sha256 === undefined ? {} : { digest: sha256.toLowerCase() }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(pooling === undefined ? {} : { pooling }),
  }
  const options = { folder: config.paths.models, env: io.env, cwd: io.cwd }
  try {
    const pulled = await pullAnywhere(request, options, config, progress, stop.signal)
    progress.end()
    io.out(flags.json === true ? json(jsonPulled(pulled)) : pulledText(pulled, flags.home))
    return 0
  } catch (error) {
    progress.end()
    if (!stop.signal.aborted) throw error
    io.err('stopped; what has arrived is kept, and the same command goes on from there\n')
    return EXIT_INTERRUPTED
  } finally {
    unlisten()
  }
}

/** From members of this home's swarm as far as they have it. */
async function pullAnywhere(
  request: PullRequest,
  options: PullOptions,
  { paths }: Config,
  progress: Pick<PullPorts, 'onEvent'>,
  signal: AbortSignal,
): Promise<Pulled> {
  // Loaded here and not above: the other commands must not pay for the transport.
  const { withSwarmFiles } = await import('../swarm/model-source.ts')
  return withSwarmFiles(paths, { clock: systemClock, random: systemRandom }, (peers) =>
    pullModel(
      request,
      options,
      { clock: systemClock, onEvent: progress.onEvent, ...(peers === undefined ? {} : { peers }) },
      signal,
    ),
  )
}

function pulledText({ manifest, isNew }: Pulled, home: string | undefined): string {
  const { id, task, bytes, parameters, quantisation, digest, trust } = manifest
  const verb = isNew ? 'installed' : 'is already installed:'
  return plainText(`${id} ${verb} ${parameters} ${quantisation}, ${humanBytes(bytes)}
sha256 ${digest}
${TRUST[trust]}
serve it: cfab-node start --${task === 'chat' ? 'model' : 'embedding-model'} ${id}${home === undefined ? '' : ` --home ${home}`}
`)
}

/** @throws CF_MODEL_BUNDLED, CF_MODEL_UNKNOWN, CF_MODEL_PULL_BUSY */
async function remove(id: string, options: Json, { paths }: Config, io: Io): Promise<number> {
  if (findModel(id) !== undefined) throw new FabricError('CF_MODEL_BUNDLED', { model: id })
  if (!isModelId(id)) throw new FabricError('CF_MODEL_UNKNOWN', { model: id.slice(0, 128) })
  const freed = await withLock(lockPath(paths.models, id), LOCK_MS, async () => {
    const hadPart = await discardPart(partPath(paths.models, id))
    return removeInstalled(paths.models, id).catch((error: unknown) => {
      if (hadPart && error instanceof FabricError && error.code === 'CF_MODEL_UNKNOWN') return 0
      throw error
    })
  })
  const effect = freed === 0 ? '' : `, ${humanBytes(freed)} made free`
  io.out(options.json === true ? json({ id, freed_bytes: freed }) : `${id} removed${effect}\n`)
  return 0
}

/** The exit status is that of the first model that is not what it should be. */
async function verify(id: string | undefined, options: Json, { paths }: Config, io: Io): Promise<number> {
  const { manifests, damaged } = await installedModels(paths.models)
  const checks = [
    ...CATALOGUE.map((entry) => ({
      id: entry.id,
      check: () => verdictOf(entry.id, () => verifyModelFile(entry.path, entry.digest)),
    })),
    ...manifests.map((manifest) => ({ id: manifest.id, check: () => verifyInstalled(paths.models, manifest) })),
    ...damaged.map((damagedId) => ({ id: damagedId, check: () => damagedVerdict(damagedId) })),
  ].filter((row) => id === undefined || row.id === id)
  if (checks.length === 0) throw new FabricError('CF_MODEL_UNKNOWN', { model: (id ?? '').slice(0, 128) })
  const verdicts: Verdict[] = []
  for (const { check } of checks) verdicts.push(await check())
  io.out(options.json === true ? json({ models: verdicts.map(jsonVerdict) }) : columns(verdicts.map(verdictLine)))
  const failed = verdicts.find(({ code }) => code !== undefined)
  return failed?.code === undefined ? 0 : ERRORS[failed.code].exit
}

async function damagedVerdict(id: string): Promise<Verdict> {
  return { id, code: 'CF_MODEL_STORE_FAILED', reason: 'manifest_unreadable' }
}

function jsonVerdict({ id, code, reason }: Verdict) {
  return { id, ok: code === undefined, code: code ?? null, reason: reason ?? null }
}

function verdictLine({ id, code, reason }: Verdict): readonly string[] {
  return code === undefined ? [id, 'ok'] : [id, code, reason ?? '']
}
