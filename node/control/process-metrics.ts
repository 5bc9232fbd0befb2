/** The process as Prometheus knows it, under the names that its client libraries have made customary. */
import { readdir } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, type Registry } from 'prom-client'

const FD_FOLDER = '/proc/self/fd'

export class ProcessMetrics {
  readonly #cpu: Counter
  readonly #resident: Gauge
  readonly #heap: Gauge
  readonly #descriptors: Gauge
  readonly #lag: Gauge
  readonly #utilization: Gauge
  #cpuSeconds = 0
  #used = performance.eventLoopUtilization()

  constructor(registry: Registry) {
    const registers = [registry]
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers })
    this.#cpu = new Counter({ name: 'process_cpu_seconds_total', help: 'CPU time of the process.', registers })
    this.#resident = gauge('process_resident_memory_bytes', 'Resident memory.')
    this.#heap = gauge('nodejs_heap_size_used_bytes', 'Heap in use.')
    this.#descriptors = gauge('process_open_fds', 'Open file descriptors; 0 where the system does not say.')
    this.#lag = gauge('nodejs_eventloop_lag_seconds', 'How long a callback waited for its turn during this scrape.')
    this.#utilization = gauge('cfab_eventloop_busy_ratio', 'Part of the time since the last scrape with work to do.')
    gauge('process_start_time_seconds', 'Start of the process, seconds since the epoch.').set(
      performance.timeOrigin / 1000,
    )
  }

  /** Measures anew, but for the event loop nothing that was not there anyway. */
  async read(): Promise<void> {
    const { user, system } = process.cpuUsage()
    const cpuSeconds = (user + system) / 1_000_000
    this.#cpu.inc(cpuSeconds - this.#cpuSeconds)
    this.#cpuSeconds = cpuSeconds
    this.#resident.set(process.memoryUsage.rss())
    this.#heap.set(process.memoryUsage().heapUsed)
    this.#descriptors.set((await readdir(FD_FOLDER).catch(() => [])).length)
    const used = performance.eventLoopUtilization()
    this.#utilization.set(performance.eventLoopUtilization(used, this.#used).utilization)
    this.#used = used
    this.#lag.set(await turnSeconds())
  }
}

function turnSeconds(): Promise<number> {
  const beginMs = performance.now()
  return new Promise((resolve) => setImmediate(() => resolve((performance.now() - beginMs) / 1000)))
}
