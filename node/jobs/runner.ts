/** The models of this node as its roles see them, each behind a backend of its own: one that dies or hangs takes no other with it. */
import type { Digest } from '../../core/ids.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import type { NodeModel } from './model.ts'

export interface ModelRunner {
  /** The model when it is in memory; nothing is loaded for this. */
  find(modelDigest: Digest): NodeModel | undefined
  /** What a judge must know of a model; nothing until it has been loaded once. */
  facts(modelDigest: Digest): ModelFacts | undefined
  /**
   * Runs work with a model, which is loaded first where it is not and stays as long as the work takes.
   *
   * @param signal  gives up waiting for the load
   * @throws FabricError CF_MODEL_*; CF_WORKER_STARTING when the load takes longer than anybody waits; the signal's reason; what the work throws
   */
  use<T>(modelDigest: Digest, signal: AbortSignal, work: (model: NodeModel) => Promise<T>): Promise<T>
  /**
   * As `use`, by what callers write in `model`.
   *
   * @throws FabricError also CF_WORKER_STARTING at once while the node itself is starting
   */
  useNamed<T>(id: string, signal: AbortSignal, work: (model: NodeModel) => Promise<T>): Promise<T>
}
