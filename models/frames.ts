/**
 * The frames between the daemon and its compute host, over the child process's IPC channel.
 *
 * Every frame of the daemon but `cancel` carries a call number that the answer repeats. Tokens come as one frame for each engine
 * step, whatever the number of slots.
 */
import type { ErrorCode, ErrorDetail } from '../core/errors.ts'
import type { AuditColumns } from './audited.ts'
import type {
  AuditRequest,
  BackendMetrics,
  ChatMessage,
  DetokenizeRequest,
  Embedded,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  RenderOptions,
  TokenBatch,
} from './backend.ts'

export type DaemonFrame =
  /** `verified`: what an earlier host of this model said when it was loaded, so that a restart need not find it out again; else ''. */
  | { readonly type: 'load'; readonly call: number; readonly request: LoadRequest; readonly verified: string }
  | {
      readonly type: 'render'
      readonly call: number
      readonly messages: readonly ChatMessage[]
      readonly options: RenderOptions
    }
  | { readonly type: 'tokenize'; readonly call: number; readonly text: string; readonly parseSpecial: boolean }
  | { readonly type: 'detokenize'; readonly call: number; readonly request: DetokenizeRequest }
  | { readonly type: 'generate'; readonly call: number; readonly request: GenerateRequest }
  | { readonly type: 'audit'; readonly call: number; readonly request: AuditRequest }
  | { readonly type: 'embed'; readonly call: number; readonly texts: readonly string[] }
  | { readonly type: 'metrics'; readonly call: number }
  /** Ends the generation, audit or embedding `call`. */
  | { readonly type: 'cancel'; readonly call: number }
  | { readonly type: 'abort'; readonly call: number }

export type CallBatch = { readonly call: number; readonly batch: TokenBatch }

export type HostFrame =
  | { readonly type: 'loaded'; readonly call: number; readonly model: LoadedModel; readonly verified: string }
  | { readonly type: 'rendered'; readonly call: number; readonly text: string }
  | { readonly type: 'detokenized'; readonly call: number; readonly text: string }
  | { readonly type: 'tokenized'; readonly call: number; readonly ids: Uint32Array }
  | { readonly type: 'audited'; readonly call: number; readonly columns: AuditColumns }
  | { readonly type: 'embedded'; readonly call: number; readonly embedded: Embedded }
  | { readonly type: 'measured'; readonly call: number; readonly metrics: BackendMetrics }
  | { readonly type: 'aborted'; readonly call: number }
  | { readonly type: 'failed'; readonly call: number; readonly code: ErrorCode; readonly detail: ErrorDetail }
  | { readonly type: 'step'; readonly batches: readonly CallBatch[] }
  /** A step of the native engine; see step-body.ts. */
  | { readonly type: 'tokens'; readonly body: Uint8Array }

const DAEMON_TYPES = new Set([
  'load',
  'render',
  'tokenize',
  'detokenize',
  'generate',
  'audit',
  'embed',
  'metrics',
  'cancel',
  'abort',
])
const HOST_TYPES = new Set([
  'loaded',
  'rendered',
  'tokenized',
  'detokenized',
  'audited',
  'embedded',
  'measured',
  'aborted',
  'failed',
  'step',
  'tokens',
])

/** Both ends are this program in one version, so a frame's type says enough about its fields. */
export function parseDaemonFrame(value: unknown): DaemonFrame | undefined {
  return hasType(value, DAEMON_TYPES) ? (value as DaemonFrame) : undefined
}

export function parseHostFrame(value: unknown): HostFrame | undefined {
  return hasType(value, HOST_TYPES) ? (value as HostFrame) : undefined
}

function hasType(value: unknown, types: ReadonlySet<string>): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    types.has(value.type)
  )
}
