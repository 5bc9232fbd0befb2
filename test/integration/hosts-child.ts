/** A daemon in small, for the test that kills it: loads the model, says its host's process id, and generates for ever. */
import { createHost, TINY_LOAD } from '../support/host.ts'

const { backend } = createHost()
await backend.load(TINY_LOAD)
console.log(backend.pid)
const promptIds = await backend.tokenize(await backend.render([{ role: 'user', content: 'Hello!' }]), true)
while (true) {
  const sampling = { kind: 'gumbel-v1', temperatureMilli: 2_000, topK: 40 } as const
  const request = { promptIds, sampling, seed: new Uint8Array(32), maxTokens: 900, stop: [] }
  for await (const batch of backend.generate(request, new AbortController().signal)) void batch
}
