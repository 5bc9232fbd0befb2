/**
 * The compute host: a child process of the daemon that owns the engine. Started with an IPC channel, it speaks models/frames.ts.
 *
 * It holds nothing that a restart cannot rebuild, so whatever it does not expect ends it at once, and it never outlives its daemon.
 */
import { FabricError } from '../core/errors.ts'
import { invariant, unreachable } from '../core/invariant.ts'
import { AuditRun } from './audit-run.ts'
import type { BackendMetrics } from './backend.ts'
import { type DaemonFrame, type HostFrame, parseDaemonFrame } from './frames.ts'
import { GenerateRun } from './generate-run.ts'
import { type LlamaEngine, openLlama } from './llama.ts'
import { Lockstep } from './lockstep.ts'

let engine: LlamaEngine | undefined
let lockstep: Lockstep | undefined

function send(frame: HostFrame): void {
  if (process.connected) process.send?.(frame)
}

/** A signal of its own: exit handlers would wait for, or crash in, a native call that still runs. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('killed')
}

/** Once in a host's life: another model gets another process. */
async function load(frame: Extract<DaemonFrame, { type: 'load' }>): Promise<void> {
  engine = await openLlama(frame.request, frame.verified)
  lockstep = new Lockstep(engine, (batches) => send({ type: 'step', batches }))
  send({ type: 'loaded', call: frame.call, model: engine.model, verified: engine.verified })
}

function metrics(): BackendMetrics {
  return {
    slotsBusy: lockstep?.slotsBusy ?? 0,
    slotCount: engine?.slotCount ?? 0,
    tokensDecoded: lockstep?.tokensDecoded ?? 0,
    tokensPrefilled: lockstep?.tokensPrefilled ?? 0,
    residentBytes: process.memoryUsage.rss(),
  }
}

async function answer(frame: DaemonFrame): Promise<void> {
  if (frame.type === 'load') return load(frame)
  if (frame.type === 'metrics') return send({ type: 'measured', call: frame.call, metrics: metrics() })
  if (frame.type === 'cancel') return lockstep?.cancel(frame.call)
  if (engine === undefined || lockstep === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
  return compute(frame, engine, lockstep)
}

async function compute(
  frame: Exclude<DaemonFrame, { type: 'load' | 'metrics' | 'cancel' }>,
  model: LlamaEngine,
  driver: Lockstep,
): Promise<void> {
  const { call } = frame
  switch (frame.type) {
    case 'render':
      return send({ type: 'rendered', call, text: model.render(frame.messages) })
    case 'tokenize':
      return send({ type: 'tokenized', call, ids: model.tokenize(frame.text, frame.parseSpecial) })
    case 'generate':
      return driver.add(new GenerateRun(call, frame.request, model.model, model.detokenize))
    case 'audit':
      return driver.add(new AuditRun(call, frame.request, (positions) => send({ type: 'audited', call, positions })))
    case 'abort':
      await driver.abort()
      return send({ type: 'aborted', call })
    default:
      return unreachable(frame)
  }
}

async function handle(value: unknown): Promise<void> {
  const frame = parseDaemonFrame(value)
  invariant(frame !== undefined, 'the daemon speaks the frames of its own version')
  try {
    await answer(frame)
  } catch (error) {
    if (!(error instanceof FabricError)) throw error
    send({ type: 'failed', call: frame.call, code: error.code, detail: error.detail })
  }
}

process.on('uncaughtException', (error) => {
  console.error(error)
  die()
})
process.on('disconnect', die)
// A terminal's Ctrl-C and a service manager's stop reach the whole group; the daemon drains first and then ends us.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.on('message', (value) => void handle(value))
