/** Every setting of the daemon: its key in config.toml, what it may be, and what it is when nobody says. */
import { isIP } from 'node:net'
import { LIMITS } from '../core/limits.ts'
import { SLOT_COUNT_MAX, THREAD_COUNT_MAX } from '../models/requests.ts'
import { defaultThreads } from './hosts/machine.ts'
import { LOG_LEVELS, type LogLevel } from './runtime/telemetry.ts'
import { durationText, parseBytes, parseDurationMs, shares, yesOrNo } from './setting-values.ts'
import { parseAddress } from './swarm/address.ts'

export const GPU_KINDS = ['off', 'auto', 'cuda', 'vulkan', 'metal'] as const
export type GpuKind = (typeof GPU_KINDS)[number]
export const ENGINE_KINDS = ['auto', 'native', 'lockstep'] as const
export type EngineKind = (typeof ENGINE_KINDS)[number]
export const KV_TYPES = ['f16', 'q8_0'] as const
export type KvType = (typeof KV_TYPES)[number]

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
  /** What drives llama.cpp; one that is named and cannot be had is refused. */
  readonly engine: EngineKind
  readonly gpu: GpuKind
  /** Layers of the model on the device; `auto`: as many as fit. */
  readonly gpuLayers: number | 'auto'
  /** Memory of the device that one model may take, bytes; null: what is free. */
  readonly maxVram: number | null
  /** Share of the layers for each device; empty: by free memory. */
  readonly tensorSplit: readonly number[]
  /** Of keys and values in memory. With anything but f16 other nodes compute other logits: they cannot check the jobs of this one. */
  readonly kvType: KvType
  /** Other nodes have it on: without it they cannot check the jobs of this one. */
  readonly flashAttention: boolean
  /** Sequences of each model that are kept for later prompts of the same account with the same beginning. */
  readonly prefixCache: number
  /** How long a model that was loaded on demand stays without a job, milliseconds; null: for ever. */
  readonly keepAlive: number | null
  /** Whether the models that are loaded at the start stay for ever, whatever `keepAlive` says. */
  readonly pinModels: boolean
  /** Models in memory at once. */
  readonly modelsMax: number
  /** Estimated memory of all models together, bytes; null: most of what is free when the node starts. */
  readonly memoryMax: number | null
  readonly logLevel: LogLevel
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
  /** Demands a key on loopback too: then nobody on this machine goes around the limits of the keys. */
  readonly requireKey: boolean
  /** The edge disputes what auditors have failed, so that its worker is slashed. */
  readonly disputeFailed: boolean
  /** Jobs that may be open at once; the shares of the priorities are parts of it. */
  readonly openJobs: number
  /** Of one API key that has no bound of its own. */
  readonly openJobsPerKey: number
  /** Requests a minute of an API key that has no rate of its own; null: as many as come. */
  readonly keyRate: number | null
  readonly metrics: boolean
  /** Where peers of a swarm may dial this node. */
  readonly meshHost: string
  readonly meshPort: number
  /** `host:port` that is told to peers; null: what it listens on. */
  readonly advertise: string | null
  /** Peers cannot dial this node: it keeps connections to two that they can. */
  readonly behindNat: boolean
  /** Endpoints of the etcd that holds the region log; empty: the log is in the database of the swarm's first validator. */
  readonly regionLog: readonly string[]
  /** The invite by which this node joins a swarm; null: it is in one, or makes its own. */
  readonly join: string | null
}

export type Setting<T> = {
  /** Key in the TOML file; flag (`--log-level`) and environment variable (CFAB_LOG_LEVEL) follow from it. */
  readonly key: string
  /** The values that are allowed, for people. */
  readonly expected: string
  readonly fallback: T
  readonly parse: (text: string) => T | undefined
  /** Its value is not shown to anybody: an invite may carry the key of a private swarm. */
  readonly isSecret?: true
  /** As `parse` would read it; absent where the value says it itself. */
  readonly show?: (value: T) => string
}

const VALIDATORS_MIN = 4
const LIST_ITEMS_MAX = 64
/** The waiting line of the engine has a place for every replica of so many. */
export const OPEN_JOBS_MAX = 256
const LAYERS_MAX = 999
/** Each is a sequence's worth of memory. */
const PREFIX_CACHE_MAX = 64
const MODELS_MAX = 64
const HOST_NAME = /^[a-z0-9.[\]:_-]{1,260}$/
const MODEL_ID = /^[\w.:/@-]{1,128}$/
const TICKET = /^cfi1[A-Za-z0-9_-]{1,2044}$/
const ENDPOINTS_MAX = 9
export const NONE = 'none'
export const FOREVER = 'forever'

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
  threads: {
    key: 'threads',
    expected: `1 to ${THREAD_COUNT_MAX}`,
    fallback: defaultThreads(),
    parse: whole(1, THREAD_COUNT_MAX),
  },
  slots: { key: 'slots', expected: `1 to ${SLOT_COUNT_MAX}`, fallback: 8, parse: whole(1, SLOT_COUNT_MAX) },
  gpu: {
    ...{ key: 'gpu', expected: GPU_KINDS.join(', '), fallback: 'off' },
    parse: (text) => GPU_KINDS.find((kind) => kind === text),
  },
  engine: {
    ...{ key: 'engine', expected: ENGINE_KINDS.join(', '), fallback: 'auto' },
    parse: (text) => ENGINE_KINDS.find((kind) => kind === text),
  },
  gpuLayers: {
    ...{ key: 'gpu_layers', expected: `0 to ${LAYERS_MAX}, or auto`, fallback: 'auto' },
    parse: (text) => (text === 'auto' ? text : whole(0, LAYERS_MAX)(text)),
  },
  maxVram: {
    ...{ key: 'max_vram', expected: `a size such as 6GiB, or ${NONE}`, fallback: null },
    parse: (text) => (text === NONE ? null : parseBytes(text)),
  },
  tensorSplit: { key: 'tensor_split', expected: 'shares such as 3,1', fallback: [], parse: shares },
  kvType: {
    ...{ key: 'kv_type', expected: KV_TYPES.join(', '), fallback: 'f16' },
    parse: (text) => KV_TYPES.find((type) => type === text),
  },
  flashAttention: {
    ...{ key: 'flash_attention', expected: 'on or off', fallback: true },
    parse: (text) => (text === 'on' ? true : text === 'off' ? false : yesOrNo(text)),
  },
  prefixCache: {
    ...{ key: 'prefix_cache', expected: `0 to ${PREFIX_CACHE_MAX}`, fallback: 0 },
    parse: whole(0, PREFIX_CACHE_MAX),
  },
  keepAlive: {
    ...{ key: 'keep_alive', expected: 'a time such as 10m, 0, or forever', fallback: 600_000 },
    parse: (text) => (text === FOREVER ? null : parseDurationMs(text)),
    show: (ms) => (ms === null ? FOREVER : durationText(ms)),
  },
  pinModels: { key: 'pin_models', expected: 'true or false', fallback: true, parse: yesOrNo },
  modelsMax: {
    ...{ key: 'models_max', expected: `1 to ${MODELS_MAX}`, fallback: 4 },
    parse: whole(1, MODELS_MAX),
  },
  memoryMax: {
    ...{ key: 'memory_max', expected: 'a size such as 12GiB, or auto', fallback: null },
    parse: (text) => (text === 'auto' ? null : parseBytes(text)),
    show: (bytes) => (bytes === null ? 'auto' : String(bytes)),
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
  disputeFailed: { key: 'dispute_failed', expected: 'true or false', fallback: true, parse: yesOrNo },
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
  meshHost: {
    ...{ key: 'mesh_host', expected: 'an IP address or localhost', fallback: '0.0.0.0' },
    parse: (text) => (isIP(text) !== 0 || text === 'localhost' ? text : undefined),
  },
  meshPort: { key: 'mesh_port', expected: 'a port, 0 to 65535', fallback: 7734, parse: whole(0, 65_535) },
  advertise: {
    ...{ key: 'advertise', expected: `host:port, or ${NONE}`, fallback: null },
    parse: (text) => (text === NONE ? null : parseAddress(text)?.kind === 'direct' ? text : undefined),
  },
  behindNat: { key: 'behind_nat', expected: 'true or false', fallback: false, parse: yesOrNo },
  regionLog: {
    ...{ key: 'region_log', expected: 'sqlite, or etcd:URL with further URLs after commas', fallback: [] },
    parse: (text) => (text === 'sqlite' ? [] : etcdEndpoints(text)),
    show: (endpoints) => (endpoints.length === 0 ? 'sqlite' : `etcd:${endpoints.join(',')}`),
  },
  join: {
    ...{ key: 'join', expected: `an invite, cfi1…, or ${NONE}`, fallback: null, isSecret: true },
    parse: (text) => (text === NONE ? null : TICKET.test(text.trim()) ? text.trim() : undefined),
  },
}

export function flagOf({ key }: Pick<Setting<unknown>, 'key'>): string {
  return `--${key.replaceAll('_', '-')}`
}

export function variableOf({ key }: Pick<Setting<unknown>, 'key'>): string {
  return `CFAB_${key.toUpperCase()}`
}

function etcdEndpoints(text: string): readonly string[] | undefined {
  if (!text.startsWith('etcd:')) return undefined
  const urls = text.slice('etcd:'.length).split(',')
  const sound = urls.every((url) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))
  return sound && urls.length <= ENDPOINTS_MAX ? urls : undefined
}

function modelId(text: string): string | undefined {
  return MODEL_ID.test(text) ? text : undefined
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
