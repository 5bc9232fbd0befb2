/** A job as it happens: stages on standard error, the answer's text on standard output, so that a pipe carries only the text. */
import type { Clock } from '../runtime/ports.ts'
import type { ServerEvent } from './client.ts'
import type { Io } from './io.ts'
import { listAt, textAt } from './json.ts'
import { plainText, seconds } from './print.ts'

export class LiveView {
  readonly #io: Io
  readonly #clock: Clock
  readonly #startNs: bigint
  readonly #showText: boolean
  /** The cursor stands behind text: a stage must not be glued to it. */
  #midLine = false
  #hasVectors = false

  constructor(io: Io, clock: Clock, showText: boolean) {
    this.#io = io
    this.#clock = clock
    this.#startNs = clock.monotonicNs()
    this.#showText = showText
  }

  show({ name, data }: ServerEvent): void {
    if (name === 'phase') this.stage(textAt(data, 'phase'), textAt(data, 'detail'))
    else if (name === 'finish') this.#finish(textAt(data, 'finish'), textAt(data, 'completion_tokens'))
    else if (name === 'vectors') this.#vectors(listAt(data, 'vectors').length)
    else if (name === 'tokens') this.#text(textAt(data, 'text'))
  }

  stage(name: string, detail: string): void {
    this.endLine()
    const elapsed = seconds(this.#clock.monotonicNs() - this.#startNs).padStart(9)
    this.#io.err(
      `${elapsed}  ${plainText(name.padEnd(10))}${detail === '-' ? '' : `  ${plainText(detail)}`}`
        .trimEnd()
        .concat('\n'),
    )
  }

  endLine(): void {
    if (this.#midLine) this.#io.out('\n')
    this.#midLine = false
  }

  /** An embedding job ends with vectors and no tokens: of its end they say all there is to say. */
  #finish(finish: string, tokens: string): void {
    if (!this.#hasVectors) this.stage('finished', `${finish}, ${tokens} tokens`)
  }

  #vectors(count: number): void {
    this.#hasVectors = true
    this.stage('finished', count === 1 ? '1 vector' : `${count} vectors`)
  }

  #text(text: string): void {
    if (!this.#showText || text === '') return
    this.#io.out(plainText(text))
    this.#midLine = !text.endsWith('\n')
  }
}
