/** What this node answers, by message type. */
import { FabricError } from '../../../core/errors.ts'
import { invariant } from '../../../core/invariant.ts'
import type { RequestHandler, StreamHandler } from '../../runtime/ports.ts'

export type Outcome<T> = { readonly value: T; readonly refusal?: undefined } | { readonly refusal: FabricError }

export class Handlers {
  readonly requests = new Map<string, RequestHandler>()
  readonly streams = new Map<string, StreamHandler>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #onBug: (error: unknown) => void

  constructor(onBug: (error: unknown) => void) {
    this.#onBug = onBug
  }

  onMessage(type: string, handler: RequestHandler): void {
    invariant(!this.requests.has(type), 'one handler per message type')
    this.requests.set(type, handler)
  }

  onStream(type: string, handler: StreamHandler): void {
    invariant(!this.streams.has(type), 'one handler per stream type')
    this.streams.set(type, handler)
  }

  /** Runs a handler. @returns what it gave, or its refusal as the caller will see it */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<Outcome<T>> {
    const running = (async () => work())()
    this.#running.add(running)
    try {
      return { value: await running }
    } catch (error) {
      return { refusal: this.#refusalOf(error, signal) }
    } finally {
      this.#running.delete(running)
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  /** Why only the code crosses: a message or detail of this side is not the other side's business. */
  #refusalOf(error: unknown, signal: AbortSignal): FabricError {
    if (error instanceof FabricError) return new FabricError('CF_MESH_REFUSED', { code: error.code })
    const stopped = signal.aborted || (error instanceof Error && error.name === 'AbortError')
    if (!stopped) this.#onBug(error)
    return new FabricError('CF_MESH_REFUSED', { code: 'CF_CONTROL_INTERNAL' })
  }
}
