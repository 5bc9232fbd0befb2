/** A job as it happens: stages on standard error, the answer's text on standard output, so that a pipe carries only the text. */
import type { Clock } from '../runtime/ports.ts'
import type { ServerEvent } from './client.ts'
import type { Io } from './io.ts'
import { textAt } from './json.ts'
import { plainText, seconds } from './print.ts'

export class LiveView {
  readonly #io: Io
  readonly #clock: Clock
  readonly #startNs: bigint
  readonly #showText: boolean
  /** The cursor stands behind text: a stage must not be glued to it. */
  #midLine = false

  constructor(io: Io, clock: Clock, showText: boolean) {
    this.#io = io
    this.#clock = clock
    this.#startNs = clock.monotonicNs()
    this.#showText = showText
  }

  show({ name, data }: ServerEvent): void {
    if (name === 'phase') this.stage(textAt(data, 'phase'), textAt(data, 'detail'))
    else if (name === 'finish')
      this.stage('finished', `${textAt(data, 'finish')}, ${textAt(data, 'completion_tokens')} tokens`)
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

  #text(text: string): void {
    if (!this.#showText || text === '') return
    this.#io.out(plainText(text))
    this.#midLine = !text.endsWith('\n')
  }
}
