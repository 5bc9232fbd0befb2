/**
 * Watches the event loop of the process that it is imported into, for whoever listens at the address in BENCH_LOOP.
 *
 * Any byte from there is answered with the delays since the last one, in milliseconds, and starts the count anew.
 */
import { connect } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const NS_PER_MS = 1e6
const port = Number(process.env['BENCH_LOOP'])

if (port > 0) {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const socket = connect(port, '127.0.0.1')
  // A program that ends need not wait for its observer, nor fail with it.
  socket.unref()
  socket.on('error', () => undefined)
  socket.on('data', () => {
    const [p50, p99, max] = [delays.percentile(50), delays.percentile(99), delays.max].map((ns) => ns / NS_PER_MS)
    socket.write(`${JSON.stringify({ p50, p99, max })}\n`)
    delays.reset()
  })
}
