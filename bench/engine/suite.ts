/** What every suite is given and gives back. */
import type { Models } from './models.ts'
import type { DriverChoice } from './ours.ts'
import type { Row, Way } from './rows.ts'

export type SuiteContext = {
  readonly models: Models
  readonly driver: DriverChoice
  readonly rounds: number
  readonly threads: readonly number[]
}
export type Suite = (context: SuiteContext) => Promise<readonly Row[]>

const SPEED = 'speed'

/** A way that measures one thing. */
export function way(name: string, measure: () => Promise<number>): Way {
  return { name, run: async () => ({ [SPEED]: await measure() }) }
}

export { SPEED }
