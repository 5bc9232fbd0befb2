/** The journal's form of a job: local bytes, read back only by the node that wrote them, so plain MessagePack maps will do. */
import { Packr } from 'msgpackr'
import type { Job } from './job.ts'

/** `useRecords: false` keeps the bytes readable without the writer's table; bigint stays bigint. */
const packr = new Packr({ useRecords: false, int64AsType: 'bigint', mapsAsObjects: true })

export function encodeJob(job: Job): Uint8Array {
  return Uint8Array.from(packr.pack(job))
}

/** @param bytes  what `encodeJob` wrote on this node */
export function parseJob(bytes: Uint8Array): Job {
  return packr.unpack(bytes) as Job
}
