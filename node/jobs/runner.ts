/** The models that this node runs, each behind a backend of its own: one that dies or hangs takes no other with it. */
import { FabricError } from '../../core/errors.ts'
import type { Digest } from '../../core/ids.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import type { NodeModel } from './model.ts'

export class ModelRunner {
  /** The chat model first. */
  readonly models: readonly NodeModel[]

  constructor(models: readonly NodeModel[]) {
    this.models = models
  }

  /** Some model's load has neither succeeded nor failed. */
  get starting(): boolean {
    return this.models.some(({ loaded, failure }) => loaded === undefined && failure === null)
  }

  /** @param id  what callers write in `model`. @throws FabricError CF_MODEL_UNKNOWN */
  named(id: string): NodeModel {
    const model = this.models.find(({ entry }) => entry.id === id)
    if (model !== undefined) return model
    throw new FabricError('CF_MODEL_UNKNOWN', { loaded: this.models.map(({ entry }) => entry.id).join(', ') })
  }

  /** @throws FabricError CF_MODEL_UNKNOWN */
  holding(modelDigest: Digest): NodeModel {
    const model = this.find(modelDigest)
    if (model === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    return model
  }

  find(modelDigest: Digest): NodeModel | undefined {
    return this.models.find(({ entry }) => entry.digest === modelDigest)
  }

  /** What a judge must know of a model; nothing until it is loaded. */
  facts(modelDigest: Digest): ModelFacts | undefined {
    return this.find(modelDigest)?.facts
  }
}
