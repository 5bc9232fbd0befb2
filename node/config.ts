/** The daemon's settings: flag, then environment (CFAB_*), then TOML file, then default. A wrong value names where it came from. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parse as parseToml } from 'smol-toml'
import { FabricError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { defaultThreads } from './hosts/machine.ts'
import { type Environment, type Paths, pathsOf } from './paths.ts'
import { LOG_LEVELS, type LogLevel } from './runtime/telemetry.ts'

export const GPU_KINDS = ['off', 'auto', 'cuda', 'vulkan', 'metal'] as const
export type GpuKind = (typeof GPU_KINDS)[number]

export type Settings = {
  /** Where the API listens; anything but loopback demands an API key. */
  readonly host: string
  readonly port: number
  readonly model: string
  /** In-process validators of a local swarm. */
  readonly validators: number
  readonly threads: number
  /** Sequences that the engine decodes together. */
  readonly slots: number
  readonly gpu: GpuKind
  readonly logLevel: LogLevel
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
}
export type Config = Settings & { readonly paths: Paths }

/** Flags as the command line gives them; a repeatable one comes as its values joined by commas. */
export type Flags = { readonly [Name in keyof Settings]?: string | undefined } & { readonly home?: string | undefined }
export type ConfigSources = { readonly flags: Flags; readonly env: Environment; readonly cwd: string }

type Setting<T> = {
  readonly name: keyof Settings
  readonly flag: string
  readonly env: string
  /** Key in the TOML file. */
  readonly key: string
  readonly expected: string
  readonly fallback: T
  readonly parse: (text: string) => T | undefined
}

const CONFIG_BYTES_MAX = 65_536
const VALIDATORS_MIN = 4
const LIST_ITEMS_MAX = 64
const HOST_NAME = /^[a-z0-9.[\]:_-]{1,260}$/
const MODEL_ID = /^[\w.:/@-]{1,128}$/

const HOST: Setting<string> = {
  ...{
    name: 'host',
    flag: '--host',
    env: 'CFAB_HOST',
    key: 'host',
    expected: 'an IP address or localhost',
    fallback: '127.0.0.1',
  },
  parse: (text) => (isIP(text) !== 0 || text === 'localhost' ? text : undefined),
}
const PORT: Setting<number> = {
  ...{ name: 'port', flag: '--port', env: 'CFAB_PORT', key: 'port', expected: 'a port, 0 to 65535', fallback: 7733 },
  parse: whole(0, 65_535),
}
const MODEL: Setting<string> = {
  ...{ name: 'model', flag: '--model', env: 'CFAB_MODEL', key: 'model', expected: 'a model id', fallback: 'cfab-tiny' },
  parse: (text) => (MODEL_ID.test(text) ? text : undefined),
}
const VALIDATORS: Setting<number> = {
  ...{ name: 'validators', flag: '--validators', env: 'CFAB_VALIDATORS', key: 'validators', fallback: VALIDATORS_MIN },
  expected: `${VALIDATORS_MIN} to ${LIMITS.validatorCountMax}`,
  parse: whole(VALIDATORS_MIN, LIMITS.validatorCountMax),
}
const THREADS: Setting<number> = {
  ...{ name: 'threads', flag: '--threads', env: 'CFAB_THREADS', key: 'threads', expected: '1 to 1024' },
  fallback: defaultThreads(),
  parse: whole(1, 1_024),
}
const SLOTS: Setting<number> = {
  ...{ name: 'slots', flag: '--slots', env: 'CFAB_SLOTS', key: 'slots', expected: '1 to 256', fallback: 8 },
  parse: whole(1, 256),
}
const GPU: Setting<GpuKind> = {
  ...{ name: 'gpu', flag: '--gpu', env: 'CFAB_GPU', key: 'gpu', expected: GPU_KINDS.join(', '), fallback: 'off' },
  parse: (text) => GPU_KINDS.find((kind) => kind === text),
}
const LOG_LEVEL: Setting<LogLevel> = {
  ...{
    name: 'logLevel',
    flag: '--log-level',
    env: 'CFAB_LOG_LEVEL',
    key: 'log_level',
    expected: LOG_LEVELS.join(', '),
    fallback: 'warn',
  },
  parse: (text) => LOG_LEVELS.find((level) => level === text),
}
const ALLOWED_HOSTS: Setting<readonly string[]> = {
  ...{
    name: 'allowedHosts',
    flag: '--allow-host',
    env: 'CFAB_ALLOW_HOST',
    key: 'allow_host',
    expected: 'host names',
    fallback: [],
  },
  parse: listOf((text) => (HOST_NAME.test(text) ? text : undefined)),
}
const ALLOWED_ORIGINS: Setting<readonly string[]> = {
  ...{ name: 'allowedOrigins', flag: '--allow-origin', env: 'CFAB_ALLOW_ORIGIN', key: 'allow_origin', fallback: [] },
  expected: 'origins such as https://app.example',
  parse: listOf((text) => (URL.canParse(text) && new URL(text).origin === text ? text : undefined)),
}
const FILE_KEYS = new Set(
  [HOST, PORT, MODEL, VALIDATORS, THREADS, SLOTS, GPU, LOG_LEVEL, ALLOWED_HOSTS, ALLOWED_ORIGINS].map(
    (setting) => setting.key,
  ),
)

/** @throws CF_CONFIG_INVALID naming the source and the key */
export function loadConfig(sources: ConfigSources): Config {
  const paths = pathsOf(sources.flags.home ?? sources.env['CFAB_HOME'], sources.env, sources.cwd)
  const file = readConfigFile(paths.configFile)
  const pick = <T>(setting: Setting<T>): T => choose(setting, sources, file)
  return {
    paths,
    host: pick(HOST),
    port: pick(PORT),
    model: pick(MODEL),
    validators: pick(VALIDATORS),
    threads: pick(THREADS),
    slots: pick(SLOTS),
    gpu: pick(GPU),
    logLevel: pick(LOG_LEVEL),
    allowedHosts: pick(ALLOWED_HOSTS),
    allowedOrigins: pick(ALLOWED_ORIGINS),
  }
}

function choose<T>(setting: Setting<T>, { flags, env }: ConfigSources, file: ReadonlyMap<string, string>): T {
  const given = [
    { source: 'flag', key: setting.flag, text: flags[setting.name] },
    { source: 'environment', key: setting.env, text: env[setting.env] },
    { source: 'file', key: setting.key, text: file.get(setting.key) },
  ].find(({ text }) => text !== undefined)
  if (given?.text === undefined) return setting.fallback
  const value = setting.parse(given.text)
  if (value === undefined)
    throw new FabricError('CF_CONFIG_INVALID', { source: given.source, key: given.key, expected: setting.expected })
  return value
}

/** Every value as the text that a flag would have; an absent file is an empty one. */
function readConfigFile(path: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const [key, value] of Object.entries(parseConfigFile(path))) {
    if (!FILE_KEYS.has(key))
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, key, expected: 'a known key' })
    const scalar = Array.isArray(value) ? value.join(',') : value
    if (typeof scalar === 'object')
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, key, expected: 'a plain value' })
    values.set(key, String(scalar))
  }
  return values
}

function parseConfigFile(path: string): Readonly<Record<string, unknown>> {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length > CONFIG_BYTES_MAX)
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, bytesMax: CONFIG_BYTES_MAX })
    return parseToml(text)
  } catch (error) {
    if (error instanceof FabricError) throw error
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    const line = error instanceof Error && 'line' in error && typeof error.line === 'number' ? { line: error.line } : {}
    throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, ...line }, error)
  }
}

function whole(min: number, max: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : undefined
  }
}

function listOf(parse: (text: string) => string | undefined): (text: string) => readonly string[] | undefined {
  return (text) => {
    const items = text.split(',').map((item) => parse(item.trim()))
    const known = items.filter((item) => item !== undefined)
    return known.length === items.length && known.length <= LIST_ITEMS_MAX ? known : undefined
  }
}

/** Where the CLI finds the daemon: an address that listens everywhere is reached through loopback. */
export function apiAddress(config: Pick<Settings, 'host' | 'port'>): string {
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
