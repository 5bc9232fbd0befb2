/** What the region log says about jobs: every certificate, in its order, with who signed it. */
import type { JobId } from '../../core/ids.ts'
import { assignmentEntryCodec, resultEntryCodec, settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { type Entry, entryCodec, entryHash } from '../../core/log/entry.ts'
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import { votersOf } from '../../core/quorum/certificate.ts'
import { findingCodec } from '../../core/verification/finding.ts'
import type { CertifiedEntry } from '../runtime/app.ts'
import type { LogRecord, RegionLog } from '../runtime/ports.ts'
import { isTrimmed } from '../stores/audit.ts'

/** Entries read at once, and at most for one question: a job's entries lie close behind its hold unless the node was stopped between. */
const PAGE_ENTRIES = 256
const SCAN_ENTRIES_MAX = 8_192

/** The certificates of one job, oldest first: from its hold to its settlement, or as far as `SCAN_ENTRIES_MAX` reaches. */
export async function certificatesOf(
  log: Pick<RegionLog, 'read'>,
  state: LogState,
  { id, holdIndex }: Pick<LoggedJob, 'id' | 'holdIndex'>,
): Promise<readonly CertifiedEntry[]> {
  const found: CertifiedEntry[] = []
  const end = holdIndex + BigInt(SCAN_ENTRIES_MAX)
  for (let from = holdIndex + 1n; from < end; from += BigInt(PAGE_ENTRIES)) {
    const page = await kept(log, from, PAGE_ENTRIES)
    found.push(...page.flatMap((record) => certifiedEntry(record, state) ?? []).filter(({ job }) => job === id))
    if (found.at(-1)?.kind === 'settlement' || page.length < PAGE_ENTRIES) break
  }
  return found
}

/** @returns the newest certificates of any job, newest first, at most `limit` */
export async function recentCertificates(
  log: Pick<RegionLog, 'read'>,
  state: LogState,
  limit: number,
): Promise<readonly CertifiedEntry[]> {
  const found: CertifiedEntry[] = []
  const { index } = state.head
  for (let end = index + 1n; end > 0n && index - end < SCAN_ENTRIES_MAX; end -= BigInt(PAGE_ENTRIES)) {
    const from = end > PAGE_ENTRIES ? end - BigInt(PAGE_ENTRIES) : 0n
    const page = await kept(log, from, Number(end - from))
    found.push(...page.flatMap((record) => certifiedEntry(record, state) ?? []).reverse())
    if (found.length >= limit) break
  }
  return found.slice(0, limit)
}

/** Nothing where the log begins later: a snapshot has taken the place of what was before. */
async function kept(log: Pick<RegionLog, 'read'>, from: bigint, countMax: number): Promise<readonly LogRecord[]> {
  try {
    return await log.read(from, countMax)
  } catch (error) {
    if (isTrimmed(error)) return []
    throw error
  }
}

/** Nothing for an entry without a certificate. Voters are named by the current validator set. */
function certifiedEntry({ index, bytes }: LogRecord, state: LogState): CertifiedEntry | undefined {
  const decoded = entryCodec.decode(bytes)
  const certified = decoded.action === 'accept' ? certificateIn(decoded.value) : undefined
  if (decoded.action !== 'accept' || certified === undefined) return undefined
  const { job, kind, replica, bitmap } = certified
  return {
    ...{ job, kind, replica, entry: index },
    voters: votersOf(state.validators, bitmap),
    hash: entryHash(state.swarmId, bytes),
    timeMs: Number(decoded.value.timeMs),
  }
}

type CertificateIn = Pick<CertifiedEntry, 'job' | 'kind' | 'replica'> & { readonly bitmap: number }

function certificateIn({ kind, body }: Entry): CertificateIn | undefined {
  switch (kind) {
    case 'assignment': {
      const entry = assignmentEntryCodec.decode(body)
      return entry.action === 'accept' ? named(kind, entry.value.jobId, 0, entry.value.bitmap) : undefined
    }
    case 'result': {
      const entry = resultEntryCodec.decode(body)
      const finding = entry.action === 'accept' ? findingCodec.decode(entry.value.finding) : entry
      if (entry.action !== 'accept' || finding.action !== 'accept') return undefined
      return named(kind, finding.value.jobId, finding.value.replica, entry.value.bitmap)
    }
    case 'settlement': {
      const entry = settlementEntryCodec.decode(body)
      return entry.action === 'accept' ? named(kind, entry.value.jobId, 0, entry.value.bitmap) : undefined
    }
    default:
      return undefined
  }
}

function named(kind: CertifiedEntry['kind'], jobId: string, replica: number, bitmap: number): CertificateIn {
  return { kind, job: jobId as JobId, replica, bitmap }
}
