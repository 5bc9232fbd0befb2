/**
 * The compute host: a child process of the daemon that owns the engine. Started with an IPC channel, it speaks models/frames.ts.
 *
 * It holds nothing that a restart cannot rebuild, so whatever it does not expect ends it at once, and it never outlives its daemon.
 */
import { FabricError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import type { BackendMetrics, LoadRequest } from './backend.ts'
import { type DaemonFrame, type HostFrame, parseDaemonFrame } from './frames.ts'
import type { Hosted, Send } from './hosted.ts'

type Open = (request: LoadRequest, verified: string, send: Send) => Promise<Hosted>

/** One is loaded in a host's life: the other's code need not be read. */
const OPEN: Record<LoadRequest['format'], Open> = {
  gguf: async (...load) => (await import('./native/driver.ts')).hostGguf(...load),
  onnx: async (...load) => (await import('./onnx-hosted.ts')).hostOnnx(...load),
}
const NOTHING = {
  slotsBusy: 0,
  slotCount: 0,
  tokensDecoded: 0,
  tokensPrefilled: 0,
  jobsWaiting: 0,
  steps: 0,
  stepMs: 0,
  tokensFromCache: 0,
}

// Else ggml forks a debugger before it ends the process, which takes seconds.
process.env['GGML_NO_BACKTRACE'] = '1'

let hosted: Hosted | undefined

function send(frame: HostFrame): void {
  if (process.connected) process.send?.(frame)
}

/** A signal of its own: exit handlers would wait for, or crash in, a native call that still runs. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('killed')
}

/** Once in a host's life: another model gets another process. */
async function load({ call, request, verified }: Extract<DaemonFrame, { type: 'load' }>): Promise<void> {
  hosted = await OPEN[request.format](request, verified, send)
  send({ type: 'loaded', call, model: hosted.model, verified: hosted.verified })
}

function metrics(): BackendMetrics {
  return { ...(hosted?.metrics() ?? NOTHING), residentBytes: process.memoryUsage.rss() }
}

async function answer(frame: DaemonFrame): Promise<void> {
  if (frame.type === 'load') return load(frame)
  if (frame.type === 'metrics') return send({ type: 'measured', call: frame.call, metrics: metrics() })
  if (frame.type === 'cancel') return hosted?.cancel(frame.call)
  if (hosted === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
  return hosted.answer(frame)
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
