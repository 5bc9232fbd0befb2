/** Reads how late the event loop of another process comes to its work: that process imports loop-probe.mjs. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'

export type LoopWatch = {
  /** What the process to be watched must be started with. */
  readonly env: NodeJS.ProcessEnv
  /** The 99th percentile since the last call, milliseconds; the timer itself is good to 1 ms. */
  p99Ms(): Promise<number>
  close(): void
}

const PROBE = new URL('./loop-probe.mjs', import.meta.url).href

export async function watchLoop(): Promise<LoopWatch> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    env: { NODE_OPTIONS: `--import=${PROBE}`, BENCH_LOOP: String(port) },
    async p99Ms() {
      // A launcher that started the daemon may be watched too: it is idle.
      const answers = await Promise.all(sockets.filter((socket) => !socket.destroyed).map(askOne))
      return Math.max(...answers)
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function askOne(socket: Socket): Promise<number> {
  socket.write('.')
  const [answer] = await once(socket, 'data')
  return Number(/"p99":([\d.]+)/.exec(String(answer))?.[1])
}
