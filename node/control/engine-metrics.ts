/** What the engines do, by model and driver. Models are named by the operator who installed them, and there are few. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { EngineReading } from '../runtime/access.ts'

type Metric = { readonly name: string; readonly help: string; readonly read: (reading: EngineReading) => number }

const LABELS = ['model', 'driver']
const MS_PER_SECOND = 1_000
const COUNTED: readonly Metric[] = [
  { name: 'cfab_engine_steps_total', help: 'Forward passes.', read: ({ steps }) => steps },
  {
    ...{ name: 'cfab_engine_step_seconds_total', help: 'What the forward passes took.' },
    read: ({ stepMs }) => stepMs / MS_PER_SECOND,
  },
  { name: 'cfab_engine_tokens_decoded_total', help: 'Tokens of answers.', read: ({ tokensDecoded }) => tokensDecoded },
  {
    ...{ name: 'cfab_engine_tokens_prefilled_total', help: 'Tokens of prompts that were computed.' },
    read: ({ tokensPrefilled }) => tokensPrefilled,
  },
  {
    ...{ name: 'cfab_engine_tokens_cached_total', help: 'Tokens of prompts that needed no computing.' },
    read: ({ tokensFromCache }) => tokensFromCache,
  },
  { name: 'cfab_model_loads_total', help: 'Loads that succeeded.', read: ({ loads }) => loads },
  { name: 'cfab_model_unloads_total', help: 'Times that it was unloaded.', read: ({ unloads }) => unloads },
  { name: 'cfab_host_restarts_total', help: 'Compute hosts that were lost.', read: ({ restarts }) => restarts },
]
const MEASURED: readonly Metric[] = [
  {
    ...{ name: 'cfab_engine_slots_busy', help: 'Generations that have a slot of this model.' },
    read: ({ slotsBusy }) => slotsBusy,
  },
  {
    ...{ name: 'cfab_engine_jobs_waiting', help: 'Generations that wait for a slot of this model.' },
    read: ({ waiting }) => waiting,
  },
  {
    ...{ name: 'cfab_host_resident_bytes', help: 'Memory of its compute host; 0 when it has none.' },
    read: ({ residentBytes }) => residentBytes,
  },
]

export class EngineMetrics {
  readonly #counters: readonly (readonly [Metric, Counter])[]
  readonly #gauges: readonly (readonly [Metric, Gauge])[]

  constructor(registry: Registry) {
    const facts = ({ name, help }: Metric) => ({ name, help, labelNames: LABELS, registers: [registry] })
    this.#counters = COUNTED.map((metric) => [metric, new Counter(facts(metric))])
    this.#gauges = MEASURED.map((metric) => [metric, new Gauge(facts(metric))])
  }

  read(readings: readonly EngineReading[]): void {
    // The figures count from the start of the node: each scrape tells the whole of them.
    for (const [{ read }, counter] of this.#counters) {
      counter.reset()
      for (const reading of readings) counter.inc(labelsOf(reading), read(reading))
    }
    for (const [{ read }, gauge] of this.#gauges) {
      gauge.reset()
      for (const reading of readings) gauge.set(labelsOf(reading), read(reading))
    }
  }
}

function labelsOf({ model, driver }: EngineReading) {
  return { model, driver }
}
