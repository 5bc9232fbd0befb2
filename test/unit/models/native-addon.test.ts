/** The add-on's own face: what it refuses, and that nothing which a caller does ends the process. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CFAB_TINY } from '../../../models/catalogue.ts'
import {
  type EngineAddon,
  type NativeContextSpec,
  type NativeEngine,
  type NativeGenerate,
  type NativeModel,
  parseEngineAddon,
  type StepExtra,
} from '../../../models/native/addon.ts'
import { pathsOf, readLibraries } from '../../../models/native/libraries.ts'
import { findLibraries } from '../../../models/native/probe.ts'
import { readStepBody } from '../../../models/step-body.ts'
import { loadEngineAddon } from '../../../native/engine.ts'
import { hasNativeEngine } from '../../support/drivers.ts'
import { missing } from '../../support/missing.ts'
import { within } from '../../support/within.ts'

const LIMIT_MS = 20_000
const CONTEXT: NativeContextSpec = {
  ...{ contextTokens: 256, slotCount: 2, threads: 1, prefillTokensMax: 63, kvType: 'f16', flashAttention: true },
  ...{ offloadKv: false, waitingMax: 1, cachedSequences: 0 },
}
const SAMPLING = { kind: 'gumbel', temperature: 0.8, topK: 40, seed: new Uint8Array(32) } as const
const JOB: NativeGenerate = {
  ...{ call: 1, prompt: Uint32Array.of(1, 3, 5), chunks: Uint32Array.of(3), sampling: SAMPLING, isLow: false },
  ...{
    grammar: '',
    maxTokens: 4,
    stop: [],
    topLogprobs: -1,
    prefix: new Uint32Array(0),
    showControl: false,
    cacheKey: '',
  },
}

/** What JavaScript heard of an engine. */
class Heard {
  readonly ids: number[] = []
  readonly extras: StepExtra[] = []
  #wake: () => void = () => undefined

  readonly take = (body: Uint8Array, extra: StepExtra | undefined): void => {
    for (const { batch } of readStepBody(body) ?? []) this.ids.push(...batch.ids)
    if (extra !== undefined) this.extras.push(extra)
    this.#wake()
  }

  /** Waits until something that few steps have matches. */
  async until(matches: (extra: StepExtra) => boolean): Promise<void> {
    while (!this.extras.some(matches)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

type Context = { addon: EngineAddon; model: NativeModel; engine: NativeEngine; heard: Heard }
const test = suite<Context>('native add-on')

/** What no type lets through. */
function wrong(call: (...args: never[]) => unknown, ...args: unknown[]): void {
  assert.throws(
    () => (call as (...args: unknown[]) => unknown)(...args),
    (error: unknown) => error instanceof TypeError,
  )
}

async function opened(): Promise<{ addon: EngineAddon; model: NativeModel }> {
  const loaded = loadEngineAddon()
  const addon = ('addon' in loaded ? parseEngineAddon(loaded.addon) : undefined) ?? missing('the engine')
  wrong(addon.loadModel, { path: CFAB_TINY.path, gpuLayers: 0, tensorSplit: new Float32Array(), vocabOnly: false })
  const found = await findLibraries('off')
  const files = found.type === 'found' ? found.files : missing(found.reason)
  addon.open(pathsOf(await readLibraries(files)) ?? missing())
  const spec = { path: CFAB_TINY.path, gpuLayers: 0, tensorSplit: new Float32Array(), vocabOnly: false }
  return { addon, model: await addon.loadModel(spec) }
}

if (hasNativeEngine()) {
  test.before(async (context) => {
    const heard = new Heard()
    const { addon, model } = await opened()
    Object.assign(context, { addon, model, heard, engine: await addon.createEngine(model, CONTEXT, heard.take) })
  })
  test.after(async ({ engine }) => engine.close())

  test('libraries are opened once in a process, by absolute paths', ({ addon }) => {
    assert.throws(
      () => addon.open({ ggmlBase: '/a', ggml: '/b', llama: '/c', backends: [] }),
      (error: unknown) => error instanceof Error && !(error instanceof TypeError),
    )
    for (const paths of [undefined, 5, {}, { ggmlBase: 1 }, { ggmlBase: 'a', ggml: 'b', llama: 'c', backends: [7] }])
      wrong(addon.open, paths)
  })

  test('a file that is no model is refused with a reason, and a spec that is none with a TypeError', ({ addon }) =>
    within(LIMIT_MS, async () => {
      const spec = { path: import.meta.filename, gpuLayers: 0, tensorSplit: new Float32Array(), vocabOnly: false }
      const reason = await addon.loadModel(spec).catch((error: unknown) => (error as Error).message)
      assert.is(reason, 'file_invalid')
      for (const part of [{ path: 5 }, { gpuLayers: 0.5 }, { gpuLayers: -2 }, { tensorSplit: [1] }, { vocabOnly: 0 }])
        wrong(addon.loadModel, { ...spec, ...part })
    })())

  test('a getter that throws is told as it is', ({ addon }) => {
    const spec = Object.defineProperty({}, 'path', { get: () => missing('mine') })
    assert.throws(() => addon.loadModel(spec as never), /missing: mine/)
  })

  test('a model says what it is', async ({ model }) => {
    assert.is(model.architecture, 'llama')
    assert.ok(model.vocabSize > 0 && model.contextTrained > 0 && model.parameterCount > 0 && model.bytes > 0)
    assert.ok(model.stopIds.length > 0 && model.stopIds.every((id) => id < model.vocabSize))
    assert.ok(model.metadata('tokenizer.chat_template').length > 0)
    assert.is(model.metadata('no such key'), '')
    assert.ok(model.controlTexts().includes(model.eosText))
    const ids = await model.tokenize('a tale of a \ud800 fox 🙂', false)
    const text = Buffer.concat([...ids].map((id) => model.piece(id, false))).toString()
    assert.match(text, /tale of a \ufffd fox 🙂$/)
    for (const args of [[], [5, true], ['a', 1]]) wrong(model.tokenize.bind(model), ...args)
    for (const args of [[-1, true], [model.vocabSize, true], [0.5, true], [1]]) wrong(model.piece.bind(model), ...args)
  })

  test('methods know their own objects', ({ addon, model, engine }) => {
    wrong(model.piece.bind(engine as never), 1, true)
    wrong(engine.metrics.bind(model as never))
    wrong(addon.createEngine, engine, CONTEXT, () => undefined)
    wrong(addon.createEngine, model, CONTEXT)
    for (const part of [{ slotCount: 65 }, { threads: 0 }, { kvType: 'f32' }, { contextTokens: Number.NaN }])
      wrong(addon.createEngine, model, { ...CONTEXT, ...part }, () => undefined)
  })

  test('a job that could make the engine do what it must not is a TypeError', ({ model, engine }) => {
    const parts: readonly Record<string, unknown>[] = [
      ...[{ prompt: new Uint32Array() }, { prompt: [1, 3, 5] }, { prompt: Uint32Array.of(1, 3, model.vocabSize) }],
      ...[
        { prompt: Uint32Array.of(2 ** 32 - 1, 0, 0) },
        { prompt: new Uint32Array(257), chunks: new Uint32Array(257).fill(1) },
      ],
      ...[{ chunks: Uint32Array.of(2) }, { chunks: Uint32Array.of(3, 0) }, { chunks: Uint32Array.of(2 ** 32 - 1, 4) }],
      ...[{ prompt: new Uint32Array(64), chunks: Uint32Array.of(64) }],
      ...[
        { maxTokens: 0 },
        { maxTokens: 254 },
        { maxTokens: Number.NaN },
        { stop: [''] },
        { stop: [5] },
        { stop: 'a' },
      ],
      ...[
        { topLogprobs: 65 },
        { topLogprobs: -2 },
        { call: -1 },
        { call: 2 ** 32 },
        { cacheKey: undefined },
        { grammar: 5 },
      ],
      ...[
        { sampling: null },
        { sampling: { ...SAMPLING, topK: 41 } },
        { sampling: { ...SAMPLING, seed: new Uint8Array(31) } },
      ],
      ...[{ sampling: { ...SAMPLING, temperature: Number.POSITIVE_INFINITY } }, { sampling: { kind: 'llama' } }],
    ]
    const llama = {
      ...{ kind: 'llama', temperature: 1, topK: 0, topP: 1, minP: 0, frequencyPenalty: 0, presencePenalty: 0, seed: 1 },
      ...{ biasIds: new Uint32Array(), biases: new Float32Array() },
    }
    for (const part of [{ minP: 1.1 }, { minP: -1 }, { topP: 1.1 }, { topP: -0.1 }, { biases: Float32Array.of(1) }])
      wrong(engine.generate.bind(engine), { ...JOB, sampling: { ...llama, ...part } })
    for (const part of parts) wrong(engine.generate.bind(engine), { ...JOB, ...part })
    wrong(engine.audit.bind(engine), { ...JOB, output: new Uint32Array() })
    wrong(engine.audit.bind(engine), { ...JOB, output: Uint32Array.of(1), sampling: { kind: 'llama' } })
    wrong(engine.embed.bind(engine), 1, [new Uint32Array()])
    wrong(engine.embed.bind(engine), 1, 'text')
    wrong(engine.cancel.bind(engine), 'a')
    wrong(engine.drain.bind(engine), -1)
    assert.is(engine.metrics().steps, 0)
  })

  test('a job is computed, and an audit of it finds nothing', ({ engine, heard }) =>
    within(LIMIT_MS, async () => {
      engine.generate({ ...JOB, call: 10 })
      await heard.until(({ ended }) => ended.includes(10))
      const output = Uint32Array.from(heard.ids)
      assert.ok(output.length > 0 && output.length <= JOB.maxTokens)
      engine.audit({ ...JOB, call: 11, output, isLow: true })
      await heard.until(({ audits }) => audits.some(({ call }) => call === 11))
      assert.ok(await engine.drain(1_000))
    })())

  test('a line that is full is told of the call alone', ({ engine, heard }) =>
    within(LIMIT_MS, async () => {
      engine.pause()
      for (const call of [20, 21, 22, 23, 24, 25]) engine.generate({ ...JOB, call })
      await heard.until(({ failures }) => failures.some(({ failure }) => failure === 'queue_full'))
      engine.abortGenerations()
      engine.resume()
      assert.ok(await engine.drain(5_000))
    })())

  test('an engine that nobody holds is freed while it computes, and one that was closed says so', ({ addon, model }) =>
    within(LIMIT_MS, async () => {
      await addon
        .createEngine(model, CONTEXT, () => undefined)
        .then((engine) => engine.generate({ ...JOB, maxTokens: 200 }))
      globalThis.gc?.()
      const engine = await addon.createEngine(model, CONTEXT, () => undefined)
      engine.generate({ ...JOB, maxTokens: 200 })
      await engine.close()
      assert.throws(() => engine.metrics(), /closed/)
      assert.throws(() => engine.close(), /closed/)
    })())

  test('an engine may be closed by a getter of the job that it is told', ({ addon, model }) =>
    within(LIMIT_MS, async () => {
      const engine = await addon.createEngine(model, CONTEXT, () => undefined)
      const closing: Promise<void>[] = []
      const job = {
        ...JOB,
        get stop() {
          closing.push(engine.close())
          return []
        },
      }
      engine.generate(job)
      await Promise.all(closing)
      assert.throws(() => engine.generate(JOB), /closed/)
    })())

  test('an exception of whoever hears a step is an uncaught one', ({ addon, model }) =>
    within(LIMIT_MS, async () => {
      const uncaught: unknown[] = []
      const hear = (error: unknown): unknown => uncaught.push(error)
      process.on('uncaughtException', hear)
      const engine = await addon.createEngine(model, CONTEXT, () => missing('mine'))
      engine.generate({ ...JOB, maxTokens: 1 })
      while (uncaught.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      await engine.close()
      await new Promise((resolve) => setTimeout(resolve, 50))
      process.off('uncaughtException', hear)
      assert.match(String(uncaught[0]), /missing: mine/)
    })())

  test('closing an engine ends its jobs, and lets go of who waits for them', ({ addon, model }) =>
    within(LIMIT_MS, async () => {
      const heard = new Heard()
      const engine = await addon.createEngine(model, CONTEXT, heard.take)
      engine.pause()
      engine.generate(JOB)
      const drained = engine.drain(600_000)
      await new Promise((resolve) => setTimeout(resolve, 50))
      await engine.close()
      assert.is(await drained, false)
      await heard.until(({ ended }) => ended.includes(JOB.call))
    })())

  test(
    'a process that ends while engines compute ends as it was told to',
    within(LIMIT_MS, async () => {
      const script = fileURLToPath(new URL('native-exit.ts', import.meta.url))
      const exits = [0, 60, 120].map((ms) => {
        const child = spawn(process.execPath, [script, String(ms)], { stdio: ['ignore', 'ignore', 'inherit'] })
        return new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
      })
      assert.equal(await Promise.all(exits), [7, 7, 7])
    }),
  )
} else {
  test('an object without its functions is no add-on', () => {
    assert.is(parseEngineAddon({ open: () => undefined }), undefined)
  })
}
test.run()
