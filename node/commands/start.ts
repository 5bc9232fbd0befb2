/** `cfab-node start`: runs the daemon, says where it is and what to do next, and stops in reverse order at Ctrl-C. */
import { FabricError } from '../../core/errors.ts'
import { apiAddress, type Config } from '../config.ts'
import { isLoopback } from '../control/guard.ts'
import { suggestion } from '../model-choice.ts'
import { systemClock } from '../runtime/system.ts'
import { createLogger, errorFields, type Logger } from '../runtime/telemetry.ts'
import { withClient } from './client.ts'
import type { Io } from './io.ts'
import { listAt, member, textAt } from './json.ts'

const READY_WAIT_MS = 120_000
const READY_POLL_MS = 100
const EXIT_BUG = 70
const EXIT_INTERRUPTED = 130

export async function start(config: Config, selector: string, io: Io): Promise<number> {
  const log = createLogger(config.logLevel)
  for (const warning of config.warnings) io.err(`warning: ${warning}\n`)
  crashOnBugs(log)
  // Loaded here and not above: the other commands must not pay for the engine and the database.
  const { startDaemon } = await import('../daemon.ts')
  const daemon = await startDaemon(config, log)
  const stopped = stopRequest(io)
  try {
    const listening = { ...config, port: Number(new URL(daemon.address).port) }
    io.out(`ComputeFabric listens on ${daemon.address}\n`)
    const ready = await Promise.race([announce(listening, selector, io), stopped])
    if (ready !== 'stop') await stopped
  } finally {
    io.err('stopping\n')
    await daemon.stop()
  }
  return 0
}

/** Waits for the engine, then prints what a newcomer needs. A node that is not ready in time still runs and says why. */
async function announce(config: Config, selector: string, io: Io): Promise<void> {
  await withClient(config, async (client) => {
    const deadlineMs = systemClock.nowMs() + READY_WAIT_MS
    let status = await client.json('/api/v1/status')
    while (member(status, 'ready') !== true && !hasFailed(status) && systemClock.nowMs() < deadlineMs) {
      await systemClock.sleep(READY_POLL_MS)
      status = await client.json('/api/v1/status')
    }
    if (hasFailed(status)) return io.err(failureText(status, selector))
    io.out(welcome(status, config, selector))
    const better = await suggestion(config, homeFlag(selector))
    if (better !== '') io.out(`\n${better}\n`)
  })
}

function hasFailed(status: unknown): boolean {
  return textAt(status, 'host_state') === 'failed'
}

/** The node goes on: its books, receipts and other models can be used. */
export function failureText(status: unknown, selector: string): string {
  const failed = listAt(status, 'models').filter((model) => textAt(model, 'state') === 'failed')
  const lines = failed.map(
    (model) => `model ${textAt(model, 'id')} failed: ${textAt(model, 'reason')}; the log says why\n`,
  )
  return `${lines.join('')}not ready: no prompt can be answered. See \`npx cfab-node status${selector}\` and \`npx cfab-node gpus\`. Ctrl-C stops the node.\n`
}

/** A model is pulled into a home, whatever the node's port is. */
function homeFlag(selector: string): string {
  return /^ --home .+?(?= --(?:host|port) |$)/.exec(selector)?.[0] ?? ''
}

export function welcome(status: unknown, config: Config, selector: string): string {
  const at = (...path: string[]): string => textAt(status, ...path)
  const messages = [{ role: 'user', content: 'Tell me a short story about a fox.' }]
  const body = { model: config.model, stream: true, temperature: 0.7, messages }
  const key =
    isLoopback(config.host) && !config.requireKey ? '' : ` -H "Authorization: Bearer $(cat ${config.paths.apiKey})"`
  const swarm = member(status, 'local') === true ? 'local swarm' : 'swarm'
  const readiness =
    member(status, 'ready') === true ? config.model : `${config.model}, not ready: ${at('ready_reason')}`
  return `
  ${swarm.padEnd(12)} ${at('swarm')}
  model        ${readiness} on ${at('engine')}
  quorum       ${at('quorum')} of ${at('validators')} validators
  credits      ${at('credits', 'spendable')} spendable

Ask it something:

  curl -N ${apiAddress(config)}/v1/chat/completions${key} -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'

Then:

  npx cfab-node job submit${selector} --replicas 3 "Once upon a time"     stages, cost, refund, receipt file
  npx cfab-node status${selector}                                         this node at a glance
  npx cfab-node receipt verify FILE --root ${at('swarm')}

Ctrl-C stops the node.
`
}

/** A bug ends the process: its memory is not to be trusted, and the journal has everything that was promised. */
function crashOnBugs(log: Logger): void {
  process.on('uncaughtException', (error) => {
    log.error('bug', errorFields(error))
    process.exit(error instanceof FabricError ? error.row.exit : EXIT_BUG)
  })
}

/** Resolves at the first request to stop; the second one does not wait for the orderly end. */
function stopRequest(io: Io): Promise<'stop'> {
  return new Promise((resolve) => {
    io.onStop((again) => {
      if (again) process.exit(EXIT_INTERRUPTED)
      resolve('stop')
    })
  })
}
