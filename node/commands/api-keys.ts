/** `cfab-node keys api`: keys for the HTTP API, each with a role and limits. A running daemon sees a change within a second. */
import { type Command, Option } from 'commander'
import type { Config } from '../config.ts'
import { keyJson, readKeyWish } from '../control/keys.ts'
import { type ApiKey, PRIORITIES, ROLES } from '../runtime/access.ts'
import { systemClock, systemRandom } from '../runtime/system.ts'
import { ApiKeyFile } from '../stores/api-keys.ts'
import { type Client, withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run } from './flags.ts'
import type { Io } from './io.ts'
import { listAt, textAt } from './json.ts'
import { columns, json } from './print.ts'

type AddFlags = Json & {
  readonly name: string
  readonly role: string
  readonly priority: string
  readonly rate?: string
  readonly burst?: string
  readonly budget?: string
  readonly budgetPerDay?: string
  readonly openJobs?: string
}

export function addApiKeys(keys: Command, run: Run): void {
  const api = keys.command('api').description('keys for the HTTP API')
  nodeFlags(api.command('ls'))
    .description('ids, roles and limits; secrets are never shown')
    .option('--usage', 'with what each has spent and holds, asked of the running node')
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & Json & { readonly usage?: boolean }) =>
      run((io) => listApiKeys(flags, configOf(flags, io), io)),
    )
  nodeFlags(api.command('add'))
    .description('make a key, which is shown this once')
    .requiredOption('--name <text>', 'what it is for')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).default('user'))
    .addOption(new Option('--priority <class>', 'who is refused first').choices(PRIORITIES).default('normal'))
    .option('--rate <count>', "requests a minute (default: the node's key_rate)")
    .option('--burst <count>', 'requests at once after a quiet while (default: the rate)')
    .option('--budget <credits>', 'that its jobs may hold and cost, ever')
    .option('--budget-per-day <credits>', 'the same for one UTC day')
    .option('--open-jobs <count>', "jobs that it may have open (default: the node's open_jobs_per_key)")
    .option('--json', 'as JSON')
    .action((flags: NodeFlags & AddFlags) => run((io) => addApiKey(flags, configOf(flags, io), io)))
  nodeFlags(api.command('revoke'))
    .description('refuse a key from now on')
    .argument('<id>', '16 hexadecimal digits')
    .option('--json', 'as JSON')
    .action((id: string, flags: NodeFlags & Json) => run((io) => revokeApiKey(id, flags, configOf(flags, io), io)))
}

function fileOf(config: Config): ApiKeyFile {
  // A file that cannot be read is an error of the command, which says so itself.
  return new ApiKeyFile(config.paths.apiKeys, {
    ...{ clock: systemClock, random: systemRandom },
    onFault: () => undefined,
  })
}

async function listApiKeys(options: Json & { readonly usage?: boolean }, config: Config, io: Io): Promise<number> {
  const items = options.usage === true ? await withClient(config, usedKeys) : fileOf(config).list().map(keyJson)
  if (options.json === true) io.out(json({ items }))
  else if (items.length === 0) io.out(`no API keys in ${config.paths.apiKeys}\n`)
  else io.out(keysText(items, options.usage === true))
  return 0
}

async function usedKeys(client: Client): Promise<readonly unknown[]> {
  return listAt(await client.json('/api/v1/keys', { admin: true }), 'items')
}

function keysText(keys: readonly unknown[], isUsage: boolean): string {
  const head = ['ID', 'NAME', 'ROLE', 'PRIORITY', 'RATE', 'BUDGET', 'PER DAY', 'OPEN JOBS', 'CREATED']
  const rows = keys.map((key) => [
    textAt(key, 'id'),
    textAt(key, 'name'),
    textAt(key, 'role'),
    textAt(key, 'priority'),
    textAt(key, 'rate_per_minute'),
    textAt(key, 'budget'),
    textAt(key, 'budget_per_day'),
    textAt(key, 'open_jobs_max'),
    textAt(key, 'created'),
    ...(isUsage
      ? [textAt(key, 'spent'), textAt(key, 'spent_today'), textAt(key, 'held'), textAt(key, 'open_jobs')]
      : []),
  ])
  return columns([[...head, ...(isUsage ? ['SPENT', 'TODAY', 'HELD', 'OPEN'] : [])], ...rows])
}

async function addApiKey(flags: AddFlags, config: Config, io: Io): Promise<number> {
  const { name, role, priority, rate, burst, budget, budgetPerDay, openJobs } = flags
  const wish = readKeyWish({
    ...{ name, role, priority, budget, budget_per_day: budgetPerDay },
    ...{ rate_per_minute: countOf(rate), burst: countOf(burst), open_jobs_max: countOf(openJobs) },
  })
  const { key, text } = await fileOf(config).add(wish)
  if (flags.json === true) io.out(json({ ...keyJson(key), key: text }))
  else {
    io.err(`added ${describe(key)}; the key is shown this once:\n`)
    io.out(`${text}\n`)
  }
  return 0
}

async function revokeApiKey(id: string, options: Json, config: Config, io: Io): Promise<number> {
  const key = await fileOf(config).revoke(id)
  io.out(options.json === true ? json(keyJson(key)) : `revoked ${describe(key)}\n`)
  return 0
}

function describe({ id, name, role }: ApiKey): string {
  return `${id} (${name}, role ${role})`
}

/** What is no number goes on as it is, to be refused by name. */
function countOf(text: string | undefined): number | string | undefined {
  return text !== undefined && /^[0-9]{1,7}$/.test(text) ? Number(text) : text
}
