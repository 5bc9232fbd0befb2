/** What a node needs of its machine, looked at one thing after another. */
import { spawnSync } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { request } from 'undici'
import { FabricError } from '../core/errors.ts'
import { entryBytes } from '../models/fits.ts'
import { hasFiles, installedModels } from '../models/installed.ts'
import { loadEngineAddon } from '../native/engine.ts'
import { loadKernel } from '../native/load.ts'
import { apiAddress, type Config } from './config.ts'
import { checkEngineSettings } from './engine-checks.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'
import { memoryBytesOf, startEntries } from './model-choice.ts'

/** `warn`: the node works, slower or with less. `fail`: it does not start, or cannot answer. */
export type Verdict = 'ok' | 'warn' | 'fail'
export type Finding = {
  readonly name: string
  readonly verdict: Verdict
  readonly detail: string
  /** What to do. */
  readonly hint?: string
}

type Check = (config: Config) => Finding | Promise<Finding>

const NODE_MAJOR_MIN = 24
const DISK_BYTES_MIN = 268_435_456
const DISK_BYTES_COMFORT = 2_147_483_648
const PROBE_MS = 2_000
const BUILD_HINT = '`npm run native` builds it; it needs a C++ compiler, make and Python'

const CHECKS: Readonly<Record<string, Check>> = {
  'Node.js': runtime,
  settings,
  compiler,
  'draw kernel': drawKernel,
  'engine add-on': engineAddon,
  driver,
  memory,
  disk,
  port,
  models,
}

/** Never rejects: a check that breaks is a finding of its own. */
export async function findings(config: Config): Promise<readonly Finding[]> {
  const found: Finding[] = []
  for (const [name, check] of Object.entries(CHECKS)) {
    try {
      found.push(await check(config))
    } catch (error) {
      const told = error instanceof FabricError ? `${error.code}: ${error.message}` : String(error)
      found.push({ name, verdict: 'fail', detail: told })
    }
  }
  return found
}

function runtime(): Finding {
  const major = Number(process.versions.node.split('.')[0])
  const verdict = major >= NODE_MAJOR_MIN ? 'ok' : 'fail'
  return { name: 'Node.js', verdict, detail: `${process.version} on ${process.platform}-${process.arch}` }
}

function settings(config: Config): Finding {
  checkEngineSettings(config)
  const { warnings, paths } = config
  if (warnings.length === 0) return { name: 'settings', verdict: 'ok', detail: `file ${paths.configFile}` }
  return { name: 'settings', verdict: 'warn', detail: warnings.join('; ') }
}

/** Only a build needs one. */
function compiler(): Finding {
  const command = process.env['CXX'] ?? 'c++'
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: PROBE_MS })
  if (status === 0) return { name: 'compiler', verdict: 'ok', detail: stdout.split('\n')[0] ?? command }
  return { name: 'compiler', verdict: 'warn', detail: `no ${command}: what is not built stays so` }
}

function drawKernel(): Finding {
  let why = ''
  const { kernel } = loadKernel({ announce: (line) => (why = line) })
  const name = 'draw kernel'
  return why === '' ? { name, verdict: 'ok', detail: kernel } : { name, verdict: 'warn', detail: why, hint: BUILD_HINT }
}

function engineAddon(): Finding {
  const loaded = loadEngineAddon()
  const name = 'engine add-on'
  if (!('reason' in loaded)) return { name, verdict: 'ok', detail: 'built from these sources' }
  return { name, verdict: 'warn', detail: loaded.reason, hint: BUILD_HINT }
}

async function driver({ engine, gpu }: Config): Promise<Finding> {
  const name = 'driver'
  if (engine === 'lockstep') return { name, verdict: 'ok', detail: 'lockstep (it was asked for)' }
  // Loaded here and not above: most commands must not pay for the engine.
  const { chooseDriver } = await import('../models/native/driver.ts')
  const { driver: chosen, engineId, libraryCount } = await chooseDriver(gpu)
  if (chosen.kind === 'native')
    return { name, verdict: 'ok', detail: `native, ${engineId}; its ${libraryCount} libraries are the pinned ones` }
  if (gpu !== 'off' && gpu !== 'auto') {
    const { devices, missing } = await (await import('../models/devices.ts')).listDevices()
    const reason = missing.find(({ kind }) => kind === gpu)?.reason ?? 'there is none here'
    if (!devices.some(({ kind }) => kind === gpu))
      return { name, verdict: 'fail', detail: `no ${gpu}: ${reason}`, hint: '`cfab-node gpus` shows what there is' }
  }
  const verdict = engine === 'native' ? 'fail' : 'warn'
  return { name, verdict, detail: `${chosen.kind} (${chosen.reason})`, hint: 'models run, and answer more slowly' }
}

async function memory(config: Config): Promise<Finding> {
  const name = 'memory'
  const entries = await startEntries(config)
  const needed = entries.reduce((sum, entry) => sum + entryBytes(entry, config.slots), 0)
  const room = Math.min(memoryBytesOf(config), defaultMemoryBytes())
  const detail = `${gib(process.availableMemory())} free, ${gib(room)} for models, ${gib(needed)} for those of the start`
  if (needed <= room) return { name, verdict: 'ok', detail }
  return { name, verdict: 'fail', detail, hint: 'serve a smaller model, fewer --slots, or raise --memory-max' }
}

async function disk({ paths }: Config): Promise<Finding> {
  const { bavail, bsize } = await nearestDisk(paths.data)
  const freeBytes = bavail * bsize
  const detail = `${gib(freeBytes)} free for ${paths.data}`
  const verdict = freeBytes < DISK_BYTES_MIN ? 'fail' : freeBytes < DISK_BYTES_COMFORT ? 'warn' : 'ok'
  const hint = { hint: 'make room, or choose another disk with --home' }
  return { name: 'disk', verdict, detail, ...(verdict === 'ok' ? {} : hint) }
}

/** The folder may be yet to be made. */
async function nearestDisk(folder: string): Promise<{ readonly bavail: number; readonly bsize: number }> {
  const above = dirname(folder)
  return statfs(folder).catch((error: unknown) => {
    if (above === folder) throw error
    return nearestDisk(above)
  })
}

async function port(config: Config): Promise<Finding> {
  const { host, port: number } = config
  const [name, at] = ['port', `${host}:${number}`]
  if (await canListen(host, number)) return { name, verdict: 'ok', detail: `${at} is free` }
  const answer = await request(`${apiAddress(config)}/healthz`, { headersTimeout: PROBE_MS }).catch(() => undefined)
  const isOurs = answer !== undefined && (await answer.body.text()).includes('"status":"ok"')
  if (isOurs) return { name, verdict: 'ok', detail: `a node listens on ${at}` }
  return { name, verdict: 'fail', detail: `another program listens on ${at}`, hint: 'choose another with --port' }
}

function canListen(host: string, number: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen({ host, port: number, exclusive: true }, () => server.close(() => resolve(true)))
  return promise
}

async function models({ paths }: Config): Promise<Finding> {
  const name = 'models'
  const { manifests, damaged } = await installedModels(paths.models)
  const isWhole = await Promise.all(manifests.map((manifest) => hasFiles(paths.models, manifest)))
  const broken = [...damaged, ...manifests.filter((_, index) => !isWhole[index]).map(({ id }) => id)]
  const detail = `${manifests.length} pulled${broken.length === 0 ? '' : `, of which are not whole: ${broken.join(', ')}`}`
  if (broken.length === 0) return { name, verdict: 'ok', detail }
  return { name, verdict: 'warn', detail, hint: '`cfab-node models verify` says more; `models rm` and `pull` mend it' }
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`
}
