/** The command line: every verb, its flags, and which command runs it. */

import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { SEED_MODES } from '../core/log/inputs.ts'
import { addApiKeys } from './commands/api-keys.ts'
import { addBench } from './commands/bench.ts'
import { addCalibrate } from './commands/calibrate.ts'
import { addCompletion } from './commands/completion.ts'
import { addConfig } from './commands/config.ts'
import { type HistoryOptions, type MintOptions, mint, showAudit, showBalance, showHistory } from './commands/credits.ts'
import { addDoctor } from './commands/doctor.ts'
import { addEvidence } from './commands/evidence.ts'
import { addExplain } from './commands/explain.ts'
import { report } from './commands/failure.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run, repeatable } from './commands/flags.ts'
import { addGpus } from './commands/gpus.ts'
import type { Io } from './commands/io.ts'
import { type DisputeOptions, disputeJob, type SubmitOptions, showJob, submitJob, watchJob } from './commands/job.ts'
import { createKeys, listKeys, showKey } from './commands/keys.ts'
import { addModels } from './commands/models.ts'
import { addPeers } from './commands/peers.ts'
import { addPolicy } from './commands/policy.ts'
import { showReceipt, type VerifyOptions, verifyReceipt } from './commands/receipt.ts'
import { addSim } from './commands/sim.ts'
import { start } from './commands/start.ts'
import { showStatus } from './commands/status.ts'
import { addSwarm } from './commands/swarm.ts'
import { type Config, type Flags, loadConfig } from './config.ts'
import { LOG_LEVELS } from './runtime/telemetry.ts'
import { ENGINE_KINDS, GPU_KINDS, KV_TYPES } from './settings.ts'

type StartFlags = NodeFlags & {
  readonly model?: string
  readonly validators?: string
  readonly threads?: string
  readonly slots?: string
  readonly engine?: string
  readonly gpu?: string | true
  readonly gpuLayers?: string
  readonly maxVram?: string
  readonly tensorSplit?: string
  readonly kvType?: string
  readonly flashAttention?: string
  readonly prefixCache?: string
  readonly keepAlive?: string
  readonly pinModels?: string
  readonly modelsMax?: string
  readonly memoryMax?: string
  readonly logLevel?: string
  readonly embeddingModel?: string
  readonly requireKey?: true
  readonly openJobs?: string
  readonly openJobsPerKey?: string
  readonly keyRate?: string
  readonly disputeFailed?: string
  readonly metrics?: string
  readonly join?: string
  readonly meshHost?: string
  readonly meshPort?: string
  readonly advertise?: string
  readonly behindNat?: true
  readonly regionLog?: string
  readonly allowHost?: readonly string[]
  readonly allowOrigin?: readonly string[]
}

/** Runs one command line. @returns the exit status; never throws */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  let status = 0
  const program = buildProgram(io, async (work) => {
    status = await work(io)
  })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return status
  } catch (error) {
    return report(error, io)
  }
}

/** @param run  runs the work of the verb that was chosen */
export function buildProgram(io: Io, run: Run): Command {
  const program = new Command('cfab-node')
    .description('Lend a machine to a swarm that runs language models, and buy answers from it.')
    .version(version())
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .showHelpAfterError('(add --help for the flags)')
  addStart(program, run)
  nodeFlags(program.command('status'))
    .description('the node, its credits, its jobs, and why it is idle')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run((to) => showStatus(configOf(flags, to), to, flags)))
  addPeers(program, run)
  addSwarm(program, run)
  addGpus(program, run)
  addDoctor(program, run)
  addModels(program, run)
  addBench(program, run)
  addCalibrate(program, run)
  addJob(program.command('job').description('run prompts as jobs'), run)
  addReceipt(program.command('receipt').description('read receipt files, with no daemon running'), run)
  addEvidence(program, run)
  addPolicy(program, run)
  addCredits(program.command('credits').description('accounts, transactions, the audit of the books'), run)
  addKeys(program.command('keys').description('the identities of this node and its API keys'), run)
  addConfig(program, run)
  addSim(program, run)
  addCompletion(program, run)
  return program
}

function addStart(program: Command, run: Run): void {
  nodeFlags(program.command('start'))
    .description('run the node until Ctrl-C')
    .option('-m, --model <id>', 'model to serve (default: cfab-tiny)')
    .option('--validators <count>', 'in-process validators of a local swarm, 4 to 13 (default: 4)')
    .option('--threads <count>', 'engine threads (default: cores - 1)')
    .option('--slots <count>', 'sequences decoded together (default: 8)')
    .option('--engine <kind>', `${ENGINE_KINDS.join(', ')} (default: auto)`)
    .option('--gpu [kind]', `${GPU_KINDS.join(', ')} (default: off; without a kind: auto)`)
    .option('--gpu-layers <count>', 'layers of a model on the device, or auto (default: auto)')
    .option('--max-vram <size>', 'device memory that a model may take, e.g. 6GiB (default: what is free)')
    .option('--tensor-split <shares>', 'share of the layers for each device, e.g. 3,1 (default: by free memory)')
    .option('--kv-type <type>', `of keys and values: ${KV_TYPES.join(', ')} (default: f16); others cannot check q8_0`)
    .option('--flash-attention <on|off>', 'others cannot check what was computed without (default: on)')
    .option('--prefix-cache <count>', 'sequences kept for later prompts with the same beginning (default: 0)')
    .option(
      '--keep-alive <time>',
      'how long an idle model that is loaded on demand stays: 10m, 0, forever (default: 10m)',
    )
    .option('--pin-models <true|false>', 'the models of the start stay for ever (default: true)')
    .option('--models-max <count>', 'models in memory at once (default: 4)')
    .option('--memory-max <size>', 'estimated memory of all models, e.g. 12GiB (default: 80 % of what is free)')
    .option('--log-level <level>', `${LOG_LEVELS.join(', ')} (default: warn)`)
    .option('--allow-host <name...>', 'further Host headers to accept, e.g. of a reverse proxy')
    .option('--allow-origin <origin...>', 'web origins that may call the API')
    .option('--embedding-model <id>', 'model behind /v1/embeddings, or none (default: use-lite-en)')
    .option('--require-key', 'demand an API key on loopback too')
    .option('--open-jobs <count>', 'jobs that may be open at once, 1 to 256 (default: 256)')
    .option('--open-jobs-per-key <count>', 'of an API key without a bound of its own (default: 64)')
    .option('--key-rate <count>', 'requests a minute of an API key without a rate of its own (default: none)')
    .option('--dispute-failed <true|false>', 'dispute what auditors failed, for a slash; costs a bond (default: true)')
    .option('--metrics <true|false>', 'serve /metrics (default: true)')
    .option('--join <invite>', 'join a swarm by an invite, once: the home remembers it')
    .option('--mesh-host <address>', 'where peers of a swarm may dial this node (default: 0.0.0.0)')
    .option('--mesh-port <number>', 'port of the mesh (default: 7734)')
    .option('--advertise <host:port>', 'address that peers are told (default: what it listens on)')
    .option('--behind-nat', 'peers cannot dial this node: reach it through two that they can')
    .option('--region-log <where>', 'sqlite, or etcd:URL,URL for a validator of a swarm whose log is there')
    .action((flags: StartFlags) => run((to) => start(startConfig(flags, to), selectorOf(flags), to)))
}

function addJob(job: Command, run: Run): void {
  nodeFlags(job.command('submit'))
    .description('submit a prompt and follow it to its receipt')
    .argument('[prompt...]', 'the prompt; - or nothing reads standard input')
    .option('-m, --model <id>', 'model id (default: the chat model of the node)')
    .option('--replicas <count>', 'workers that run it independently, 1 to 5 (default: 1)')
    .addOption(
      new Option(
        '--seeds <how>',
        'one seed for all replicas, one for each, or a hidden coin (default: hidden where audits judge)',
      ).choices(SEED_MODES),
    )
    .option('--speed <tokens>', 'pay a bonus from so many tokens a second on, as three witnesses see it')
    .option('--max-budget <credits>', 'refuse when it could cost more')
    .addOption(
      new Option('--verify <when>', 'stream and verify after, or buffer and verify before').choices([
        'after',
        'before',
      ]),
    )
    .option('--temperature <number>', '0 to 2 (default: 1)')
    .option('--top-k <count>', '1 to 40 (default: 40)')
    .option('--top-p <number>', '0.001 to 1 (default: 1); anything less cannot be verified')
    .addOption(repeatable('--stop <text>', 'ends the answer, repeatable up to 4 times'))
    .option('--max-tokens <count>', 'length of the answer at most')
    .option('--seed <integer>', 'chooses the sample')
    .option('--region <name>', 'region that must run it')
    .option('--nonce <integer>', 'the same nonce is the same job')
    .option('--dry-run', 'only the price and who could run it')
    .option('--detach', 'print the job id and leave')
    .option('-o, --out <path>', 'folder or file for the receipt (default: the working folder)')
    .option('--json', 'the result as JSON, without the text as it streams')
    .action((words: string[], flags: NodeFlags & SubmitOptions) =>
      run((to) => submitJob(words, flags, configOf(flags, to), to)),
    )
  nodeFlags(job.command('watch'))
    .description('follow a job from its beginning to its receipt')
    .argument('<id>', 'job id')
    .option('-o, --out <path>', 'folder or file for the receipt')
    .option('--json', 'the result as JSON')
    .action((id: string, flags: NodeFlags & Json & { readonly out?: string }) =>
      run((to) => watchJob(id, flags, configOf(flags, to), to)),
    )
  nodeFlags(job.command('get'))
    .description('a job as it stands')
    .argument('<id>', 'job id')
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & Json) => run((to) => showJob(id, flags, configOf(flags, to), to)))
  nodeFlags(job.command('dispute'))
    .description('call the finding of a replica wrong: referees compute it again, and the bond goes to who was right')
    .argument('<id>', 'job id')
    .requiredOption('--replica <index>', 'the replica')
    .addOption(
      new Option('--claim <claim>', 'what should have been found').choices(['reject', 'accept']).makeOptionMandatory(),
    )
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & DisputeOptions) =>
      run((to) => disputeJob(id, flags, configOf(flags, to), to)),
    )
  addExplain(job, run)
}

function addReceipt(receipt: Command, run: Run): void {
  receipt
    .command('show')
    .description('what a receipt file says')
    .argument('<file>')
    .option('--json', 'as JSON')
    .action((file: string, flags: Json) => run((to) => showReceipt(file, flags, to)))
  receipt
    .command('verify')
    .description('check a receipt file: exit status 0 valid, 65 invalid, 3 unknown root, 66 unreadable')
    .argument('<file>')
    .addOption(repeatable('--root <id-or-file>', 'a swarm id or genesis file to trust, repeatable'))
    .addOption(
      repeatable('--roster <file>', 'computes the draw again, from a roster that `cfab-node roster` saved; repeatable'),
    )
    .option('--home <folder>', 'node folder whose trust store counts')
    .option('--json', 'as JSON')
    .action((file: string, flags: NodeFlags & VerifyOptions) =>
      run((to) => verifyReceipt(file, flags, configOf(flags, to), to)),
    )
}

function addCredits(credits: Command, run: Run): void {
  nodeFlags(credits.command('balance'))
    .description('spendable, held and pending credits')
    .argument('[account]', 'me, user/<id>, node/<id>, platform/<region> (default: this node and its user)')
    .option('--json', 'as JSON')
    .action((account: string | undefined, flags: NodeFlags & Json) =>
      run((to) => showBalance(account, flags, configOf(flags, to), to)),
    )
  nodeFlags(credits.command('history'))
    .description('transactions, newest first')
    .argument('[account]', 'only of this account')
    .option('--job <id>', 'only of this job')
    .option('--limit <count>', 'at most so many')
    .option('--cursor <cursor>', 'where an earlier page ended')
    .option('--json', 'as JSON')
    .action((account: string | undefined, flags: NodeFlags & HistoryOptions) =>
      run((to) => showHistory(account, flags, configOf(flags, to), to)),
    )
  nodeFlags(credits.command('audit'))
    .description('replay the log: exit status 0 only when the books sum to zero and match it')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json) => run((to) => showAudit(flags, configOf(flags, to), to)))
  nodeFlags(credits.command('mint'))
    .description('create credits with the mint key of this node')
    .argument('<account>', 'me, user/<id>, node/<id> or platform/<region>')
    .argument('<amount>', 'credits, e.g. 100 or 0.5')
    .option('--reason <text>', 'for the books', 'minted by the operator')
    .option('--idempotency-key <key>', 'the same key is the same transaction')
    .option('--json', 'as JSON')
    .action((account: string, amount: string, flags: NodeFlags & MintOptions) =>
      run((to) => mint(account, amount, flags, configOf(flags, to), to)),
    )
}

function addKeys(keys: Command, run: Run): void {
  const home = (command: Command): Command =>
    command.option('--home <folder>', 'node folder').option('--json', 'as JSON')
  home(keys.command('list'))
    .description('names and ids')
    .action((flags: NodeFlags & Json) => run((to) => listKeys(flags, configOf(flags, to), to)))
  home(keys.command('create'))
    .description('give this home its key before its first start, and print the PeerId')
    .action((options: Json & NodeFlags) => run((io) => createKeys(options, configOf(options, io), io)))
  home(keys.command('show'))
    .description('one identity: id, public key, file')
    .argument('<name>')
    .action((name: string, flags: NodeFlags & Json) => run((to) => showKey(name, flags, configOf(flags, to), to)))
  addApiKeys(keys, run)
}

function startConfig(flags: StartFlags, io: Io): Config {
  const { allowHost, allowOrigin, gpu, requireKey, behindNat, ...plain } = flags
  const given: Flags = {
    ...plain,
    requireKey: requireKey === true ? 'true' : undefined,
    behindNat: behindNat === true ? 'true' : undefined,
    gpu: gpu === true ? 'auto' : gpu,
    allowedHosts: allowHost?.join(','),
    allowedOrigins: allowOrigin?.join(','),
  }
  return loadConfig({ flags: given, env: io.env, cwd: io.cwd })
}

/** The flags that a later command needs to find this node again. */
function selectorOf({ home, host, port }: NodeFlags): string {
  const flag = (name: string, value: string | undefined): string => (value === undefined ? '' : ` --${name} ${value}`)
  return flag('home', home) + flag('host', host) + flag('port', port)
}

function version(): string {
  const facts: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return typeof facts === 'object' && facts !== null && 'version' in facts ? String(facts.version) : 'unknown'
}
