/** The daemon's settings: flag, then environment (CFAB_*), then TOML file, then default. A wrong value names where it came from. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { parse as parseToml } from 'smol-toml'
import { FabricError } from '../core/errors.ts'
import { type Environment, type Paths, pathsOf } from './paths.ts'
import { flagOf, NONE, SETTINGS, type Setting, type Settings, variableOf } from './settings.ts'

export type Config = Settings & {
  readonly paths: Paths
  /** What the operator should know about the sources, in sentences. */
  readonly warnings: readonly string[]
}

/** Flags as the command line gives them; a repeatable one comes as its values joined by commas. */
export type Flags = { readonly [Name in keyof Settings]?: string | undefined } & { readonly home?: string | undefined }
export type ConfigSources = { readonly flags: Flags; readonly env: Environment; readonly cwd: string }

/** A setting as `config show` tells it. */
export type Explained = {
  readonly key: string
  readonly value: Settings[keyof Settings]
  /** The value as a line of config.toml has it. */
  readonly text: string
  /** `flag --port`, `environment CFAB_PORT`, `file <path>` or `default`. */
  readonly source: string
  readonly expected: string
}

type Given = { readonly source: 'flag' | 'environment' | 'file'; readonly key: string; readonly text: string }
type ConfigFile = { readonly values: ReadonlyMap<string, string>; readonly warnings: readonly string[] }

const CONFIG_BYTES_MAX = 65_536
const OTHERS_WRITE = 0o022
const HIDDEN = '(hidden)'
const FILE_KEYS: readonly string[] = Object.values(SETTINGS).map(({ key }) => key)
/** Variables that are no settings: where the settings are. */
const OTHER_VARIABLES = new Set(['CFAB_HOME'])

/** @throws CF_CONFIG_INVALID naming the source and the key */
export function loadConfig(sources: ConfigSources): Config {
  const paths = pathsOf(sources.flags.home ?? sources.env['CFAB_HOME'], sources.env, sources.cwd)
  const file = readConfigFile(paths.configFile)
  const pick = <Name extends keyof Settings>(name: Name): Settings[Name] =>
    chosen(SETTINGS[name], givenFor(name, sources, file))
  return {
    paths,
    warnings: [...file.warnings, ...unknownVariables(sources.env)],
    host: pick('host'),
    port: pick('port'),
    model: pick('model'),
    embeddingModel: pick('embeddingModel'),
    validators: pick('validators'),
    threads: pick('threads'),
    slots: pick('slots'),
    engine: pick('engine'),
    gpu: pick('gpu'),
    gpuLayers: pick('gpuLayers'),
    maxVram: pick('maxVram'),
    tensorSplit: pick('tensorSplit'),
    kvType: pick('kvType'),
    flashAttention: pick('flashAttention'),
    prefixCache: pick('prefixCache'),
    keepAlive: pick('keepAlive'),
    pinModels: pick('pinModels'),
    modelsMax: pick('modelsMax'),
    memoryMax: pick('memoryMax'),
    logLevel: pick('logLevel'),
    allowedHosts: pick('allowedHosts'),
    allowedOrigins: pick('allowedOrigins'),
    requireKey: pick('requireKey'),
    disputeFailed: pick('disputeFailed'),
    openJobs: pick('openJobs'),
    openJobsPerKey: pick('openJobsPerKey'),
    keyRate: pick('keyRate'),
    metrics: pick('metrics'),
    meshHost: pick('meshHost'),
    meshPort: pick('meshPort'),
    advertise: pick('advertise'),
    behindNat: pick('behindNat'),
    regionLog: pick('regionLog'),
    join: pick('join'),
  }
}

/** Every setting with its value and where that came from, in the order of the table. @throws CF_CONFIG_INVALID as `loadConfig` */
export function explainConfig(sources: ConfigSources): readonly Explained[] {
  const { paths, ...config } = loadConfig(sources)
  const file = readConfigFile(paths.configFile)
  return settingNames().map((name) => {
    const given = givenFor(name, sources, file)
    const source =
      given === undefined
        ? 'default'
        : given.source === 'file'
          ? `file ${paths.configFile}`
          : `${given.source} ${given.key}`
    const { key, expected } = SETTINGS[name]
    const hidden = SETTINGS[name].isSecret === true && config[name] !== null
    const [value, text] = hidden ? [HIDDEN, HIDDEN] : [config[name], shown(name, config)]
    return { key, value, text, source, expected }
  })
}

function shown<Name extends keyof Settings>(name: Name, config: Settings): string {
  const setting: Setting<Settings[Name]> = SETTINGS[name]
  const value = config[name]
  if (setting.show !== undefined) return setting.show(value)
  if (value === null) return NONE
  return Array.isArray(value) ? value.join(',') || '-' : String(value)
}

function settingNames(): readonly (keyof Settings)[] {
  const isName = (name: string): name is keyof Settings => name in SETTINGS
  return Object.keys(SETTINGS).filter(isName)
}

function givenFor(name: keyof Settings, { flags, env }: ConfigSources, file: ConfigFile): Given | undefined {
  const setting = SETTINGS[name]
  const [flag, variable, line] = [flags[name], env[variableOf(setting)], file.values.get(setting.key)]
  if (flag !== undefined) return { source: 'flag', key: flagOf(setting), text: flag }
  if (variable !== undefined) return { source: 'environment', key: variableOf(setting), text: variable }
  return line === undefined ? undefined : { source: 'file', key: setting.key, text: line }
}

function chosen<T>(setting: Setting<T>, given: Given | undefined): T {
  if (given === undefined) return setting.fallback
  const value = setting.parse(given.text)
  if (value === undefined)
    throw new FabricError('CF_CONFIG_INVALID', { source: given.source, key: given.key, expected: setting.expected })
  return value
}

/** Why only a warning: a variable may belong to a newer version, or to a tool that shares the prefix; a line of our own file may not. */
function unknownVariables(env: Environment): readonly string[] {
  const known = Object.values(SETTINGS).map(variableOf)
  const strangers = Object.keys(env).filter(
    (name) => name.startsWith('CFAB_') && !OTHER_VARIABLES.has(name) && !known.includes(name),
  )
  return strangers
    .map((name) => ({ name, near: nearest(name, known) }))
    .flatMap(({ name, near }) =>
      near === undefined ? [] : [`the variable ${name} is not known; ${near} is the nearest that is`],
    )
}

/** Every value as the text that a flag would have; an absent file is an empty one. */
function readConfigFile(path: string): ConfigFile {
  const { table, mode } = parseConfigFile(path)
  const values = new Map<string, string>()
  for (const [key, value] of Object.entries(table)) {
    if (!FILE_KEYS.includes(key)) {
      const near = nearest(key, FILE_KEYS)
      const expected = near === undefined ? 'a known key' : `a known key, perhaps ${near}`
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, key, expected })
    }
    const scalar = Array.isArray(value) ? value.join(',') : value
    if (typeof scalar === 'object')
      throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, key, expected: 'a plain value' })
    values.set(key, String(scalar))
  }
  const open = process.platform !== 'win32' && (mode & OTHERS_WRITE) !== 0
  return { values, warnings: open ? [`others may write ${path}: chmod go-w takes that from them`] : [] }
}

function parseConfigFile(path: string): { readonly table: Readonly<Record<string, unknown>>; readonly mode: number } {
  try {
    const file = openSync(path, 'r')
    try {
      const { mode, size } = fstatSync(file)
      if (size > CONFIG_BYTES_MAX)
        throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, bytesMax: CONFIG_BYTES_MAX })
      return { table: parseToml(readFileSync(file, 'utf8')), mode }
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (error instanceof FabricError) throw error
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { table: {}, mode: 0 }
    const line = error instanceof Error && 'line' in error && typeof error.line === 'number' ? { line: error.line } : {}
    throw new FabricError('CF_CONFIG_INVALID', { source: 'file', file: path, ...line }, error)
  }
}

/** The name that a typo most likely meant: at most a third of it is wrong. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, edits: editDistance(typed, name) }))
    .sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1))
  const [best] = ranked
  return best !== undefined && best.edits <= Math.ceil(typed.length / 3) ? best.name : undefined
}

/** Levenshtein distance by rows (Wagner and Fischer 1974). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** Where the CLI finds the daemon: an address that listens everywhere is reached through loopback. */
export function apiAddress(config: Pick<Settings, 'host' | 'port'>): string {
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
