/** Catalogue entries over the fake backend, and the load that a daemon asks for turned into the one that the fake knows. */
import { FabricError } from '../../core/errors.ts'
import type { LoadedModel, LoadRequest } from '../../models/backend.ts'
import { type CatalogueEntry, CFAB_TINY, USE_LITE } from '../../models/catalogue.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import type { ModelRunner } from '../../node/jobs/runner.ts'
import {
  FAKE_DIGEST,
  FAKE_DIMENSIONS,
  FAKE_EMBED_LOAD,
  FAKE_LOAD,
  FakeBackend,
  type FakeOptions,
} from './fake-backend.ts'

export const FAKE_CHAT: CatalogueEntry = { ...CFAB_TINY, digest: FAKE_DIGEST }
export const FAKE_EMBEDDING: CatalogueEntry = { ...USE_LITE, digest: FAKE_DIGEST, dimensions: FAKE_DIMENSIONS }

/** A loaded model over a fake. */
export async function fakeModel(entry: CatalogueEntry, options: Partial<FakeOptions> = {}): Promise<NodeModel> {
  const model = new NodeModel(entry, new FakeBackend(options), 0)
  await model.load(entry.task === 'embedding' ? FAKE_EMBED_LOAD : FAKE_LOAD)
  return model
}

/** A runner of one model that is always there. */
export function runnerOf(model: NodeModel): ModelRunner {
  const isIts = (digest: string): boolean => model.entry.digest === digest
  return {
    find: (digest) => (isIts(digest) ? model : undefined),
    facts: (digest) => (isIts(digest) ? model.facts : undefined),
    use: async (digest, _signal, work) => {
      if (!isIts(digest)) throw new FabricError('CF_MODEL_UNKNOWN')
      return work(model)
    },
    useNamed: (_id, _signal, work) => work(model),
  }
}

/** Takes the load of any model for the one that it fakes. */
export class AnyModelBackend extends FakeBackend {
  override async load({ format, digest }: LoadRequest): Promise<LoadedModel> {
    return { ...(await super.load(format === 'onnx' ? FAKE_EMBED_LOAD : FAKE_LOAD)), digest }
  }
}
