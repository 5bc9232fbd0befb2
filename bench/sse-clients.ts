/** The clients of bench/sse.ts, in a process of their own: open streams on request and count the bytes that come. */
import { Agent, request } from 'node:http'

export type ClientsOrder = { readonly address: string; readonly count: number }

const agent = new Agent({ keepAlive: true, maxSockets: 4_096 })
let bytes = 0

function open({ address }: ClientsOrder): Promise<void> {
  const body = JSON.stringify({ model: 'cfab-tiny', stream: true, messages: [{ role: 'user', content: 'go on' }] })
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    const asked = request(`${address}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.on('data', (part: Buffer) => {
        bytes += part.length
      })
    })
    asked.on('error', reject)
    // The answer begins with the first token, which nobody has said yet.
    asked.end(body, () => resolve())
  })
}

if (process.argv[2] === 'clients') {
  process.on('message', (order: ClientsOrder | 'count') => {
    if (order === 'count') process.send?.({ bytes })
    else void Promise.all(Array.from({ length: order.count }, () => open(order))).then(() => process.send?.({ bytes }))
  })
}
