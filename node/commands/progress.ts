/** How a pull goes on: one line that is written over on a terminal, a line every few seconds elsewhere. */
import type { PullEvent } from '../../models/fetch/download.ts'
import { systemClock } from '../runtime/system.ts'
import type { Io } from './io.ts'
import { humanBytes } from './models-list.ts'

export type Progress = {
  readonly onEvent: (event: PullEvent) => void
  /** Leaves the line as it is; whatever is written next begins on a new one. */
  readonly end: () => void
}

const TERMINAL_MS = 100
const PLAIN_MS = 5_000
/** The rate is that of the last seconds: what a line did an hour ago says nothing about now. */
const RATE_MS = 5_000
const BAR_CHARS = 24

const REASONS = {
  cut: 'the source ended too early',
  too_long: 'the source sent more than it said',
  length_contradicts: 'the source contradicts itself about the length',
  range_contradicts: 'the source answered with another part of the file',
  changed: 'the file has changed at the source; it begins again',
  encoded: 'the source packed the file',
  busy: 'the source asks to wait',
  server_error: 'the source has an error',
  stalled: 'nothing came for too long',
  connection_lost: 'the connection broke',
} as const

export function showProgress(io: Io): Progress {
  const everyMs = io.isTerminal === true ? TERMINAL_MS : PLAIN_MS
  const marks: { readonly atMs: number; readonly done: number }[] = []
  let shownMs = systemClock.nowMs()
  let width = 0
  const line = (text: string): void => {
    io.err(io.isTerminal === true ? `\r${text.padEnd(width)}` : `${text}\n`)
    width = io.isTerminal === true ? text.length : 0
  }
  const end = (): void => {
    if (width > 0) io.err('\n')
    width = 0
  }
  const note = (text: string): void => {
    end()
    io.err(`${text}\n`)
  }
  const show = (done: number, total: number | undefined): void => {
    const nowMs = systemClock.nowMs()
    if (marks.length === 0) marks.push({ atMs: nowMs, done })
    const isLast = done === total
    if (nowMs - shownMs < everyMs && !isLast) return
    shownMs = nowMs
    marks.push({ atMs: nowMs, done })
    while ((marks[1]?.atMs ?? nowMs) < nowMs - RATE_MS) marks.shift()
    const [first = { atMs: nowMs, done }] = marks
    line(describe(done, total, ((done - first.done) * 1_000) / Math.max(1, nowMs - first.atMs)))
  }
  return {
    end,
    onEvent(event) {
      if (event.type === 'bytes') show(event.done, event.total)
      else if (event.type === 'found') note(`going on after ${humanBytes(event.done)} of an earlier pull`)
      else {
        marks.length = 0
        note(`${REASONS[event.reason]}; next attempt in ${(event.waitMs / 1_000).toFixed(1)} s`)
      }
    },
  }
}

/** @param rate  bytes per second; 0 when it is not known yet */
export function describe(done: number, total: number | undefined, rate: number): string {
  const speed = rate > 0 ? `  ${humanBytes(rate)}/s` : ''
  if (total === undefined) return `${humanBytes(done)}${speed}`
  const share = total === 0 ? 1 : done / total
  const full = Math.floor(share * BAR_CHARS)
  const bar = `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARS - full)}]`
  const left = rate > 0 && done < total ? `  ${humanSeconds((total - done) / rate)} left` : ''
  return `${bar} ${Math.floor(share * 100)}%  ${humanBytes(done)} of ${humanBytes(total)}${speed}${left}`
}

function humanSeconds(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min`
}
