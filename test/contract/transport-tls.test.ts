import { emptyBook, meshPeer } from '../support/mesh.ts'
import { transportSuite } from './transport.suite.ts'
import type { TransportPair } from './transport-pair.ts'

const bounds = { frameCountMax: 8, frameBytesMax: 4_096 }

async function direct(): Promise<TransportPair> {
  const book = emptyBook()
  const [a, b] = await Promise.all([1, 2].map((seed) => meshPeer(seed, book, { limits: bounds })))
  if (a === undefined || b === undefined) throw new Error('two seeds are two peers')
  return { a, b, ...bounds }
}

transportSuite('tls', direct).run()
