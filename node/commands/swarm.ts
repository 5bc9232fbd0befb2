/** `cfab-node found`, `invite` and `roster`: how a swarm of separate machines begins and grows. */
import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { FabricError } from '../../core/errors.ts'
import { parsePeerId, parseRegion } from '../../core/ids.ts'
import { PRICE_BOUNDS } from '../../core/ledger/pricing.ts'
import { decodeRoster } from '../../core/roster/roster.ts'
import type { Config } from '../config.ts'
import { taken } from '../jobs/taken.ts'
import { systemClock as clock, systemRandom as random } from '../runtime/system.ts'
import { parseDurationMs } from '../setting-values.ts'
import { createKeyStore } from '../stores/keystore.ts'
import { foundedGenesis, loadKeys, readGenesis, saveGenesis } from '../swarm/genesis.ts'
import { saveSwarmKey } from '../swarm/networked.ts'
import { withClient } from './client.ts'
import { configOf, type Json, type NodeFlags, nodeFlags, type Run, repeatable } from './flags.ts'
import type { Io } from './io.ts'
import { textAt } from './json.ts'
import { json, section } from './print.ts'

type FoundFlags = NodeFlags &
  Json & {
    readonly validator: readonly string[]
    readonly region?: string
    readonly private?: boolean
    readonly regionLog?: string
    readonly epoch?: string
    readonly vest?: string
  }
type RosterFlags = NodeFlags & Json & { readonly epoch?: string }
type InviteFlags = NodeFlags & Json & { readonly for?: string; readonly expires?: string; readonly credits?: string }

const EPOCH_MS = 30_000
/** A day's earnings are what a worker has to lose. */
const VEST_MS = 86_400_000
const EPOCH_MS_MIN = 1_000
const EPOCH_MS_MAX = 3_600_000
const SWARM_KEY_BYTES = 32
const SECOND_MS = 1_000

export function addSwarm(program: Command, run: Run): void {
  nodeFlags(program.command('found'))
    .description('begin a swarm of separate machines in this home; `start` then runs its first node')
    .argument('<name>', 'what people call it')
    .addOption(repeatable('--validator <peer-id>', 'another machine that votes, repeatable: `keys show node` there'))
    .option('--region <name>', 'its region (default: main)')
    .option('--private', 'only who has an invite with its key can talk to it')
    .option('--region-log <where>', 'sqlite: in this database; etcd: each validator says where (default: sqlite)')
    .option('--epoch <time>', 'longest time between two rosters, e.g. 30s (default: 30s)')
    .option('--vest <time>', 'earned credit can be spent after this, and slashed before (default: 24h)')
    .option('--json', 'as JSON')
    .action((name: string, flags: FoundFlags) => run((io) => found(name, flags, configOf(flags, io), io)))
  nodeFlags(program.command('invite'))
    .description('one line that lets a machine in: start --join <line>')
    .option('--for <peer-id>', 'only this peer may use it (default: whoever comes first)')
    .option('--expires <time>', 'e.g. 10m, 24h (default: 1h)')
    .option('--credits <amount>', 'what its user starts with (default: 100 where the mint key is, else none)')
    .option('--json', 'as JSON')
    .action((flags: InviteFlags) => run((io) => makeInvite(flags, configOf(flags, io), io)))
  nodeFlags(program.command('roster'))
    .description('save the roster that draws depend on: job explain --roster recomputes with it')
    .argument('<file>', 'where to write it')
    .option('--epoch <number>', 'of this epoch (default: the current one)')
    .option('--json', 'as JSON')
    .action((file: string, flags: RosterFlags) => run((io) => saveRoster(file, flags, configOf(flags, io), io)))
}

async function found(name: string, flags: FoundFlags, { paths }: Config, io: Io): Promise<number> {
  const earlier = await readGenesis(paths.genesis)
  if (earlier !== undefined)
    throw new FabricError('CF_CONFIG_HOME_TAKEN', { swarm: earlier.swarmId, file: paths.genesis })
  const validators = flags.validator.map(
    (text) => parsePeerId(text) ?? invalid('validator', 'an id that begins with cf1'),
  )
  const region = parseRegion(flags.region ?? 'main') ?? invalid('region', 'lowercase letters, digits and dashes')
  const log = logKind(flags.regionLog ?? 'sqlite')
  const epochMs = flags.epoch === undefined ? EPOCH_MS : parseDurationMs(flags.epoch)
  if (epochMs === undefined || epochMs < EPOCH_MS_MIN || epochMs > EPOCH_MS_MAX) return invalid('epoch', '1s to 1h')
  const vestMs = flags.vest === undefined ? VEST_MS : parseDurationMs(flags.vest)
  if (vestMs === undefined || BigInt(vestMs) > PRICE_BOUNDS.vestMsMax) return invalid('vest', '0 to 365 days, e.g. 24h')
  const keys = await loadKeys(createKeyStore(paths.keys, random), 0)
  const genesis = foundedGenesis({ name, region, log, validators, epochMs, vestMs }, keys, { clock, random })
  if (flags.private === true) await saveSwarmKey(paths.swarmKey, random.bytes(SWARM_KEY_BYTES))
  await saveGenesis(paths.genesis, genesis)
  const facts = {
    name,
    swarm: genesis.swarmId,
    node: keys.node.peer,
    validators: genesis.validators,
    private: flags.private === true,
  }
  io.out(flags.json === true ? json(facts) : foundedText(facts, flags.home, startFlags(log, flags.regionLog)))
  return 0
}

function foundedText(
  facts: {
    readonly name: string
    readonly swarm: string
    readonly node: string
    readonly validators: readonly string[]
    readonly private: boolean
  },
  home: string | undefined,
  startingWith: string,
): string {
  const selector = home === undefined ? '' : ` --home ${home}`
  const table = section(`Swarm ${facts.name}`, [
    ['swarm', facts.swarm],
    ['node', facts.node],
    ['validators', String(facts.validators.length)],
    ['open to', facts.private ? 'who has an invite and with it the key' : 'who has an invite'],
  ])
  return `${table}
Then:

  npx cfab-node start${selector}${startingWith}          runs its first node
  npx cfab-node invite${selector}         lets another machine in: start --join <the line>
`
}

async function makeInvite(flags: InviteFlags, config: Config, io: Io): Promise<number> {
  const lifetimeMs = flags.expires === undefined ? undefined : parseDurationMs(flags.expires)
  if (flags.expires !== undefined && lifetimeMs === undefined) return invalid('expires', 'a time such as 10m or 24h')
  const body = {
    ...(flags.for === undefined ? {} : { for: flags.for }),
    ...(typeof lifetimeMs === 'number' ? { expires_seconds: Math.ceil(lifetimeMs / SECOND_MS) } : {}),
    ...(flags.credits === undefined ? {} : { credits: flags.credits }),
  }
  const answer = await withClient(config, (client) =>
    client.json('/api/v1/p2p/invites', { method: 'POST', body, admin: true }),
  )
  io.out(flags.json === true ? json(answer) : `${textAt(answer, 'invite')}\n`)
  return 0
}

async function saveRoster(file: string, { epoch, json: asJson }: RosterFlags, config: Config, io: Io): Promise<number> {
  const query = epoch === undefined ? '' : `?epoch=${encodeURIComponent(epoch)}`
  const bytes = await withClient(config, (client) => client.bytes(`/api/v1/p2p/roster${query}`))
  const roster = taken(decodeRoster(Uint8Array.from(bytes)))
  await writeFile(file, bytes).catch((error: unknown) => {
    throw new FabricError('CF_STORE_FAILED', { file }, error)
  })
  const facts = { file, epoch: String(roster.epoch), root: roster.root, members: roster.members.length }
  io.out(asJson === true ? json(facts) : `wrote ${file}\n`)
  return 0
}

/** Where its etcd is every validator has to say for itself. */
function startFlags(log: 'sqlite' | 'etcd', said: string | undefined): string {
  if (log === 'sqlite') return ''
  return ` --region-log ${said?.startsWith('etcd:') === true ? said : 'etcd:URL,URL'}`
}

function logKind(text: string): 'sqlite' | 'etcd' {
  if (text === 'sqlite') return text
  return text === 'etcd' || text.startsWith('etcd:') ? 'etcd' : invalid('region_log', 'sqlite or etcd')
}

function invalid(key: string, expected: string): never {
  throw new FabricError('CF_CONFIG_INVALID', { source: 'flag', key, expected })
}
