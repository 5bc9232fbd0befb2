import { peerIdOf } from '../../core/ids.ts'
import { createMemoryNetwork, type MemoryNetworkOptions } from '../../node/mesh/memory.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { transportSuite } from './transport.suite.ts'
import type { TransportPair } from './transport-pair.ts'

const random = seededRandom(testSeed())
const bounds = { frameCountMax: 8, frameBytesMax: 4_096 }

function pair(options: MemoryNetworkOptions): () => Promise<TransportPair> {
  return async () => {
    const network = createMemoryNetwork({ ...options, ...bounds }, { clock: systemClock, random })
    const [a, b] = [1, 2].map((seed) => network.endpoint(peerIdOf(new Uint8Array(32).fill(seed))))
    if (a === undefined || b === undefined) throw new Error('two seeds are two endpoints')
    return { a, b, ...bounds }
  }
}

transportSuite('memory', pair({})).run()
transportSuite(
  'memory, slow and unordered',
  pair({ delayMs: (chance) => (chance.bytes(1)[0] ?? 0) % 4, reorder: true }),
).run()
