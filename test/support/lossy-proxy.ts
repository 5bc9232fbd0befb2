/** An HTTP proxy before one server that can lose answers of what was done, hold them back, or answer for the server. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request } from 'undici'

export type LossyProxy = {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string
  /** Requests that the server was given, by path. */
  readonly counts: Map<string, number>
  /** How many of the next answers are lost after the server gave them. */
  loseNext: number
  /** Given instead of asking the server. */
  canned: { readonly status: number; readonly body: string } | undefined
  close(): void
}

export async function lossyProxy(target: string): Promise<LossyProxy> {
  const counts = new Map<string, number>()
  const server = createServer((incoming, response) => {
    void forward(incoming, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const proxy: LossyProxy = {
    origin: `http://127.0.0.1:${port}`,
    counts,
    loseNext: 0,
    canned: undefined,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
  return proxy

  async function forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = incoming.url ?? '/'
    const parts: Uint8Array[] = []
    for await (const part of incoming) parts.push(part)
    counts.set(path, (counts.get(path) ?? 0) + 1)
    if (proxy.canned !== undefined) return void response.writeHead(proxy.canned.status).end(proxy.canned.body)
    const answer = await request(target + path, { method: 'POST', body: Buffer.concat(parts) })
    if (path !== '/v3/watch' && proxy.loseNext > 0) {
      proxy.loseNext -= 1
      await answer.body.dump()
      response.destroy()
      return
    }
    response.writeHead(answer.statusCode)
    answer.body.on('error', () => response.destroy())
    answer.body.pipe(response)
  }
}
