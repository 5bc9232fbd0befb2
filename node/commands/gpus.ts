/** `cfab-node gpus`: what `start --gpu` could use here, and how to get what is missing. Needs no running node. */
import type { Command } from 'commander'
import type { Json, Run } from './flags.ts'
import type { Io } from './io.ts'
import { columns, json } from './print.ts'

const GIB = 1_073_741_824

export function addGpus(program: Command, run: Run): void {
  program
    .command('gpus')
    .description('devices of this machine that can run models')
    .option('--json', 'as JSON')
    .action((flags: Json) => run((io) => showDevices(flags, io)))
}

async function showDevices(options: Json, io: Io): Promise<number> {
  // Loaded here and not above: the other commands must not pay for the engine.
  const { listDevices } = await import('../../models/devices.ts')
  const { chooseDriver } = await import('../../models/native/driver.ts')
  const { devices, missing } = await listDevices()
  const { driver, engineId } = await chooseDriver('auto')
  if (options.json === true) {
    const listed = devices.map(({ kind, name, memoryBytes, freeBytes }) => {
      return { kind, name, memory_bytes: memoryBytes, free_bytes: freeBytes }
    })
    io.out(json({ devices: listed, missing, driver: driver.kind, driver_reason: driver.reason, engine: engineId }))
    return 0
  }
  const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`
  const rows = devices.map(({ kind, name, memoryBytes, freeBytes }) => [kind, gib(memoryBytes), gib(freeBytes), name])
  io.out(columns([['KIND', 'MEMORY', 'FREE', 'NAME'], ...rows]))
  for (const { kind, reason } of missing) io.out(`${kind}: ${reason}${hintOf(kind, reason)}\n`)
  io.out(`driver: ${driver.kind} (${driver.kind === 'native' ? engineId : driver.reason})\n`)
  return 0
}

function hintOf(kind: string, reason: string): string {
  return reason.includes('not installed') && kind !== 'metal' ? ` (\`npm run engine -- ${kind}\` installs it)` : ''
}
