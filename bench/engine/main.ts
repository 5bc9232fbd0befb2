/**
 * `npm run bench:engine [-- --only SUITE,...] [--runs N] [--threads 1,2] [--driver native|lockstep] [--gpu KIND] [--save]`: the
 * engine and the whole path against llama.cpp's own tools, built against the same libraries, in the same run and in turn.
 *
 * The machine should do nothing else meanwhile. The first time takes three minutes more, for building what is compared with.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { GPU_KINDS } from '../../node/settings.ts'
import { decodeSuite } from './decode.ts'
import { driversSuite } from './drivers.ts'
import { benchModels, type Models } from './models.ts'
import { type DriverChoice, openEngine } from './ours.ts'
import { overheadSuite } from './overhead.ts'
import { auditSuite, checkableSuite } from './own.ts'
import { prefillSuite } from './prefill.ts'
import { buildReferences, referenceVariant } from './references.ts'
import { type Conditions, markdown, saveRows } from './rows.ts'
import { servingSuite } from './serving.ts'
import type { Suite } from './suite.ts'

const SUITES: Readonly<Record<string, Suite>> = {
  decode: decodeSuite,
  prefill: prefillSuite,
  drivers: driversSuite,
  overhead: overheadSuite,
  checkable: checkableSuite,
  audit: auditSuite,
  serving: servingSuite,
}
const DRIVERS: readonly DriverChoice[] = ['auto', 'native', 'lockstep']
const BUSY_LOAD = 0.5

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '5' },
    threads: { type: 'string', default: '1,2' },
    driver: { type: 'string', default: 'auto' },
    gpu: { type: 'string', default: 'off' },
    save: { type: 'boolean', default: false },
  },
})

async function main(): Promise<void> {
  const driver = DRIVERS.find((kind) => kind === values.driver)
  if (driver === undefined) throw new Error(`unknown driver ${values.driver}: one of ${DRIVERS.join(', ')}`)
  const gpu = GPU_KINDS.find((kind) => kind === values.gpu)
  if (gpu === undefined) throw new Error(`unknown device ${values.gpu}: one of ${GPU_KINDS.join(', ')}`)
  const names = values.only?.split(',') ?? Object.keys(SUITES)
  const unknown = names.find((name) => SUITES[name] === undefined)
  if (unknown !== undefined) throw new Error(`unknown suite ${unknown}: one of ${Object.keys(SUITES).join(', ')}`)
  buildReferences()
  const models = await benchModels(gpu)
  const [rounds, threads] = [Number(values.runs), values.threads.split(',').map(Number)]
  const conditions = await conditionsOf(models, driver)
  const load = loadavg()[0] ?? 0
  if (load > BUSY_LOAD) console.log(`The machine is busy (load ${load.toFixed(1)}): expect wide quartiles.`)
  console.log(`ours: ${conditions.engineId}, driver ${conditions.driver}; theirs: cpu-${conditions.referenceCpu}`)
  for (const name of names) {
    const startMs = performance.now()
    const rows = (await SUITES[name]?.({ models, driver, rounds, threads })) ?? []
    console.log(`\n## ${name} (${((performance.now() - startMs) / 1_000).toFixed(0)} s)\n\n${markdown(rows)}`)
    if (values.save) saveRows(name, rows, conditions)
  }
}

async function conditionsOf({ large, tiny }: Models, driver: DriverChoice): Promise<Conditions> {
  const engine = await openEngine(tiny, { threads: 1, slots: 1, driver })
  await engine.close()
  const { engineId, driver: used } = engine.loaded
  const driverText = used.reason === '' ? used.kind : `${used.kind} (${used.reason})`
  const digests = [large, tiny].map(({ name, digest }) => `${name} ${digest}`)
  return { engineId, driver: driverText, referenceCpu: referenceVariant(), models: digests }
}

await main()
