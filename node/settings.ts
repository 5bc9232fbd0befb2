/** Every setting of the daemon: its key in config.toml, what it may be, and what it is when nobody says. */
import { isIP } from 'node:net'
import { LIMITS } from '../core/limits.ts'
import { defaultThreads } from './hosts/machine.ts'
import { LOG_LEVELS, type LogLevel } from './runtime/telemetry.ts'

export const GPU_KINDS = ['off', 'auto', 'cuda', 'vulkan', 'metal'] as const
export type GpuKind = (typeof GPU_KINDS)[number]

export type Settings = {
  /** Where the API listens; anything but loopback demands an API key. */
  readonly host: string
  readonly port: number
  readonly model: string
  /** Id of the model behind /v1/embeddings, or `none`. */
  readonly embeddingModel: string
  /** In-process validators of a local swarm. */
  readonly validators: number
  readonly threads: number
  /** Sequences that the engine decodes together. */
  readonly slots: number
  readonly gpu: GpuKind
  readonly logLevel: LogLevel
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
  /** Demands a key on loopback too: then nobody on this machine goes around the limits of the keys. */
  readonly requireKey: boolean
  /** Jobs that may be open at once; the shares of the priorities are parts of it. */
  readonly openJobs: number
  /** Of one API key that has no bound of its own. */
  readonly openJobsPerKey: number
  /** Requests a minute of an API key that has no rate of its own; null: as many as come. */
  readonly keyRate: number | null
  readonly metrics: boolean
}

export type Setting<T> = {
  /** Key in the TOML file; flag (`--log-level`) and environment variable (CFAB_LOG_LEVEL) follow from it. */
  readonly key: string
  /** The values that are allowed, for people. */
  readonly expected: string
  readonly fallback: T
  readonly parse: (text: string) => T | undefined
}

const VALIDATORS_MIN = 4
const LIST_ITEMS_MAX = 64
/** The waiting line of the engine has a place for every replica of so many. */
export const OPEN_JOBS_MAX = 256
const HOST_NAME = /^[a-z0-9.[\]:_-]{1,260}$/
const MODEL_ID = /^[\w.:/@-]{1,128}$/
export const NONE = 'none'

export const SETTINGS: { readonly [Name in keyof Settings]: Setting<Settings[Name]> } = {
  host: {
    ...{ key: 'host', expected: 'an IP address or localhost', fallback: '127.0.0.1' },
    parse: (text) => (isIP(text) !== 0 || text === 'localhost' ? text : undefined),
  },
  port: { key: 'port', expected: 'a port, 0 to 65535', fallback: 7733, parse: whole(0, 65_535) },
  model: { key: 'model', expected: 'a model id', fallback: 'cfab-tiny', parse: modelId },
  embeddingModel: {
    ...{ key: 'embedding_model', expected: `a model id or ${NONE}`, fallback: 'use-lite-en' },
    parse: modelId,
  },
  validators: {
    ...{ key: 'validators', expected: `${VALIDATORS_MIN} to ${LIMITS.validatorCountMax}`, fallback: VALIDATORS_MIN },
    parse: whole(VALIDATORS_MIN, LIMITS.validatorCountMax),
  },
  threads: { key: 'threads', expected: '1 to 1024', fallback: defaultThreads(), parse: whole(1, 1_024) },
  slots: { key: 'slots', expected: '1 to 256', fallback: 8, parse: whole(1, 256) },
  gpu: {
    ...{ key: 'gpu', expected: GPU_KINDS.join(', '), fallback: 'off' },
    parse: (text) => GPU_KINDS.find((kind) => kind === text),
  },
  logLevel: {
    ...{ key: 'log_level', expected: LOG_LEVELS.join(', '), fallback: 'warn' },
    parse: (text) => LOG_LEVELS.find((level) => level === text),
  },
  allowedHosts: {
    ...{ key: 'allow_host', expected: 'host names', fallback: [] },
    parse: listOf((text) => (HOST_NAME.test(text) ? text : undefined)),
  },
  allowedOrigins: {
    ...{ key: 'allow_origin', expected: 'origins such as https://app.example', fallback: [] },
    parse: listOf((text) => (URL.canParse(text) && new URL(text).origin === text ? text : undefined)),
  },
  requireKey: { key: 'require_key', expected: 'true or false', fallback: false, parse: yesOrNo },
  openJobs: {
    ...{ key: 'open_jobs', expected: `1 to ${OPEN_JOBS_MAX}`, fallback: OPEN_JOBS_MAX },
    parse: whole(1, OPEN_JOBS_MAX),
  },
  openJobsPerKey: {
    ...{ key: 'open_jobs_per_key', expected: `1 to ${OPEN_JOBS_MAX}`, fallback: 64 },
    parse: whole(1, OPEN_JOBS_MAX),
  },
  keyRate: {
    ...{ key: 'key_rate', expected: `requests a minute, 1 to 999999, or ${NONE}`, fallback: null },
    parse: (text) => (text === NONE ? null : whole(1, 999_999)(text)),
  },
  metrics: { key: 'metrics', expected: 'true or false', fallback: true, parse: yesOrNo },
}

export function flagOf({ key }: Setting<unknown>): string {
  return `--${key.replaceAll('_', '-')}`
}

export function variableOf({ key }: Setting<unknown>): string {
  return `CFAB_${key.toUpperCase()}`
}

function modelId(text: string): string | undefined {
  return MODEL_ID.test(text) ? text : undefined
}

function yesOrNo(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
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
