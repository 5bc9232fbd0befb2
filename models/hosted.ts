/** What a compute host runs, of whichever engine: it takes the daemon's calls for its model and answers through `Send`. */
import type { BackendMetrics, LoadedModel } from './backend.ts'
import type { DaemonFrame, HostFrame } from './frames.ts'

export type Send = (frame: HostFrame) => void
/** Calls that need a model. */
export type ComputeFrame = Exclude<DaemonFrame, { type: 'load' | 'metrics' | 'cancel' }>

export interface Hosted {
  readonly model: LoadedModel
  /** Stamp of the checked file; see verifyModelFile. */
  readonly verified: string
  /** @throws FabricError, which fails this call; anything else ends the host */
  answer(frame: ComputeFrame): Promise<void>
  /** Unknown or ended calls are none of our business. */
  cancel(call: number): void
  metrics(): Omit<BackendMetrics, 'residentBytes'>
}
