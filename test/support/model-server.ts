/** A server of one model file on loopback that does to each request what the test says, and remembers what it was asked. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'

export type Fault =
  | {
      readonly kind:
        | 'none'
        | 'close_at_once'
        | 'ignore_range'
        | 'new_tag'
        | 'too_much'
        | 'wrong_range'
        | 'whole_as_416'
        | 'short_416'
    }
  | { readonly kind: 'encoded' | 'trickle' | 'no_length' | 'new_tag_as_206' }
  /** After so many bytes of the body: the connection breaks, nothing more comes (also under a weak tag), one byte is wrong. */
  | { readonly kind: 'cut' | 'stall' | 'weak_stall' | 'corrupt'; readonly at: number }
  /** A body without a length that ends in good order after so many bytes. */
  | { readonly kind: 'ends_early'; readonly at: number }
  /** Content-Length differs from the file's by so much. */
  | { readonly kind: 'wrong_length'; readonly by: number }
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: 'redirect'; readonly to: string; readonly stated?: string }
export type Seen = {
  readonly path: string
  readonly range: string | undefined
  readonly ifRange: string | undefined
  readonly authorization: string | undefined
  /** Bytes of bodies that were handed to the socket. */
  served: number
}
export type ModelServer = {
  readonly origin: string
  /** In the order of their arrival. */
  readonly seen: readonly Seen[]
  readonly close: () => Promise<void>
}

/** A real model: a pull reads its header. */
export const MODEL_BYTES = readFileSync(
  fileURLToPath(new URL('../../models/data/cfab-tiny-small-f16.gguf', import.meta.url)),
)
export const MODEL_DIGEST = createHash('sha256').update(MODEL_BYTES).digest('hex')

const CHUNK_BYTES = 16_384
const TRICKLE_MS = 20
const CUT_MS = 20

/** @param faultOf  what happens to the request of this number, 0 is the first */
export async function startModelServer(faultOf: (index: number, seen: Seen) => Fault): Promise<ModelServer> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const { range, authorization } = request.headers
    const ifRange = request.headers['if-range']?.toString()
    const entry: Seen = { path: request.url ?? '', range, ifRange, authorization, served: 0 }
    seen.push(entry)
    void answer(request, response, faultOf(seen.length - 1, entry), entry).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A test that fails before it closes the server must not keep its process.
  server.unref()
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    origin: `http://127.0.0.1:${port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, fault: Fault, seen: Seen): Promise<void> {
  if (fault.kind === 'close_at_once') return void request.socket.destroy()
  if (fault.kind === 'status') return void response.writeHead(fault.status, fault.headers).end('no')
  if (fault.kind === 'redirect') {
    const stated =
      fault.stated === undefined ? {} : { 'x-linked-etag': `"${fault.stated}"`, 'x-linked-size': MODEL_BYTES.length }
    return void response.writeHead(302, { location: fault.to, ...stated }).end('elsewhere')
  }
  const total = MODEL_BYTES.length
  if (fault.kind === 'short_416') {
    const had = /\d+/.exec(seen.range ?? '')?.[0] ?? '0'
    return void response.writeHead(416, { 'content-range': `bytes */${had}` }).end()
  }
  if (fault.kind === 'whole_as_416') return void response.writeHead(416, { 'content-range': `bytes */${total}` }).end()
  const isOther = fault.kind === 'new_tag' || fault.kind === 'new_tag_as_206'
  const tag = isOther ? '"new"' : '"old"'
  const from = startOf(seen, fault, tag)
  const body = from === 0 ? MODEL_BYTES : MODEL_BYTES.subarray(from)
  const claimed = fault.kind === 'wrong_length' ? body.length + fault.by : body.length
  const isChunked = fault.kind === 'too_much' || fault.kind === 'no_length' || fault.kind === 'ends_early'
  response.writeHead(seen.range === undefined || from === 0 ? 200 : 206, {
    etag: fault.kind === 'weak_stall' ? 'W/"old"' : tag,
    ...(isChunked ? {} : { 'content-length': claimed }),
    ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${total - 1}/${total}` }),
    ...(fault.kind === 'encoded' ? { 'content-encoding': 'gzip' } : {}),
  })
  await send(response, fault.kind === 'too_much' ? Buffer.concat([body, Buffer.alloc(1)]) : body, fault, seen)
}

/** A server that knows its trade answers a range only when the condition holds (RFC 9110, 13.1.5). */
function startOf({ range, ifRange }: Seen, { kind }: Fault, tag: string): number {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
  const isStale = ifRange !== undefined && ifRange !== tag && kind !== 'new_tag_as_206'
  if (kind === 'ignore_range' || isStale || from >= MODEL_BYTES.length) return 0
  return kind === 'wrong_range' && from > 0 ? from - 1 : from
}

async function send(response: ServerResponse, body: Uint8Array, fault: Fault, seen: Seen): Promise<void> {
  const isStall = fault.kind === 'stall' || fault.kind === 'weak_stall'
  const end =
    isStall || fault.kind === 'cut' || fault.kind === 'ends_early' ? Math.min(fault.at, body.length) : body.length
  const step = fault.kind === 'trickle' ? 8 : CHUNK_BYTES
  for (let from = 0; from < end && !response.destroyed; from += step) {
    const piece = Buffer.from(body.subarray(from, Math.min(end, from + step)))
    // The file that is served in spite of If-Range is another one.
    const wrongAt = fault.kind === 'corrupt' ? fault.at : fault.kind === 'new_tag_as_206' ? body.length - 1 : -1
    if (wrongAt >= from && wrongAt < from + piece.length) piece[wrongAt - from] = (piece[wrongAt - from] ?? 0) ^ 1
    seen.served += piece.length
    await new Promise<void>((resolve) => response.write(piece, () => resolve()))
    if (fault.kind === 'trickle') await new Promise((resolve) => setTimeout(resolve, TRICKLE_MS))
  }
  // What is on its way is lost with the connection: most of it should have arrived.
  if (fault.kind === 'cut') setTimeout(() => response.destroy(), CUT_MS)
  else if (!isStall) response.end()
}
