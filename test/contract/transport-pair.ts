/** What the parts of the transport contract share. */
import type { suite } from 'uvu'
import type { PeerStream, PeerTransport } from '../../node/runtime/ports.ts'

export type Test = ReturnType<typeof suite>
/** Two connected peers, with the bounds that they were made with. */
export type TransportPair = {
  readonly a: PeerTransport
  readonly b: PeerTransport
  readonly frameCountMax: number
  readonly frameBytesMax: number
}
export type Create = () => Promise<TransportPair>

export const BYTES = Uint8Array.of(1, 2, 3)
export const SOON = { deadlineMs: 1_000 }

export async function readAll(stream: PeerStream): Promise<readonly Uint8Array[]> {
  const frames: Uint8Array[] = []
  await collect(stream, frames)
  return frames
}

export async function collect(stream: PeerStream, frames: Uint8Array[]): Promise<void> {
  for await (const frame of stream) frames.push(frame)
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

export async function closeBoth(a: PeerTransport, b: PeerTransport): Promise<void> {
  await a.close()
  await b.close()
}
