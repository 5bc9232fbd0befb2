/** A process that native-addon.test.ts starts: it exits with 7 while its engine computes, so many milliseconds after it began to. */
import { CFAB_TINY } from '../../../models/catalogue.ts'
import { type NativeContextSpec, parseEngineAddon } from '../../../models/native/addon.ts'
import { pathsOf, readLibraries } from '../../../models/native/libraries.ts'
import { findLibraries } from '../../../models/native/probe.ts'
import { loadEngineAddon } from '../../../native/engine.ts'
import { missing } from '../../support/missing.ts'

const MS = Number(process.argv[2])
const TEXT = 'a b c '.repeat(10_000)

const loaded = loadEngineAddon()
const addon = ('addon' in loaded ? parseEngineAddon(loaded.addon) : undefined) ?? missing('the engine')
const found = await findLibraries('off')
addon.open(pathsOf(await readLibraries(found.type === 'found' ? found.files : missing(found.reason))) ?? missing())
const spec = { path: CFAB_TINY.path, gpuLayers: 0, tensorSplit: new Float32Array(), vocabOnly: false }
const model = await addon.loadModel(spec)
const context: NativeContextSpec = {
  ...{ contextTokens: 256, slotCount: 4, threads: 2, prefillTokensMax: 63, kvType: 'f16', flashAttention: true },
  ...{ offloadKv: false, waitingMax: 8, cachedSequences: 0 },
}
const [computing, paused] = await Promise.all([1, 2].map(() => addon.createEngine(model, context, () => undefined)))
paused?.pause()
for (let call = 1; call <= 8; call++) {
  for (const engine of [computing, paused]) {
    engine?.generate({
      ...{
        call,
        prompt: Uint32Array.of(1, 3, 5),
        chunks: Uint32Array.of(3),
        isLow: false,
        grammar: '',
        maxTokens: 200,
      },
      ...{ stop: [], topLogprobs: -1, prefix: new Uint32Array(0), showControl: false, cacheKey: '' },
      sampling: { kind: 'gumbel', temperature: 0.8, topK: 40, seed: new Uint8Array(32) },
    })
  }
}
void model.tokenize(TEXT, false)
void computing?.drain(1_000)
// Would wait for ever: nothing may keep the process from its end.
void paused?.drain(600_000)
setTimeout(() => process.exit(7), MS)
